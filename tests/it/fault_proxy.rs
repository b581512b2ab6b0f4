//! A proxy in front of the cloud that fails as lines and servers do, as often as it is told.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server answers with an error.
    Answer(u16, &'static str),
    /// The connection is cut before the request is read.
    Reset,
    /// No answer comes.
    Hang,
    /// The answer is cut off in its middle.
    Truncated,
    /// The request is carried out, and its answer is lost.
    LostReply,
    /// One bit of the body is another one when it arrives.
    Corrupted,
}

/// A running proxy. Its threads end with the tests.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<State>,
}

/// Whether, and how, a request fails: method and path are told.
type Choose = Box<dyn FnMut(&str, &str) -> Option<Fault> + Send>;

struct State {
    to: String,
    choose: Mutex<Choose>,
    failed: AtomicU32,
}

/// A request as it came.
struct Request {
    method: String,
    path: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Proxy {
    /// In front of a server, failing as is chosen.
    pub(crate) fn new(to: &str, choose: impl FnMut(&str, &str) -> Option<Fault> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let to = to.strip_prefix("http://").expect("plain HTTP").to_owned();
        let state = Arc::new(State { to, choose: Mutex::new(Box::new(choose)), failed: AtomicU32::new(0) });
        let serves = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = serves.clone();
                // What fails on this connection is the client's to notice.
                thread::spawn(move || drop(state.serve(client)));
            }
        });
        Self { url, state }
    }

    /// Requests that failed.
    pub(crate) fn failed(&self) -> u32 {
        self.state.failed.load(Ordering::Relaxed)
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut reader = BufReader::new(client.try_clone()?);
        while let Some(mut request) = Request::read(&mut reader, &mut client)? {
            let fault = (self.choose.lock().expect("nobody panics"))(&request.method, &request.path);
            if fault.is_some() {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            let mut body_length = None;
            match fault {
                Some(Fault::Answer(status, code)) => {
                    let body = format!("<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>");
                    let body = if request.method == "HEAD" { "" } else { &body };
                    write!(
                        client,
                        "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )?;
                    continue;
                }
                Some(Fault::Reset) => return Ok(()),
                Some(Fault::Hang) => {
                    thread::sleep(Duration::from_secs(20));
                    return Ok(());
                }
                Some(Fault::Corrupted) => {
                    if let Some(byte) = request.body.last_mut() {
                        *byte ^= 1;
                    }
                }
                Some(Fault::Truncated | Fault::LostReply) | None => {}
            }
            let answer = self.pass_on(&request, &mut body_length)?;
            match fault {
                Some(Fault::LostReply) => return Ok(()),
                Some(Fault::Truncated) => return client.write_all(&answer[..answer.len() - 1 - answer.len() / 3]),
                _ => client.write_all(&answer)?,
            }
            if body_length.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The whole answer of the server; says how long its body is, where that is said.
    fn pass_on(&self, request: &Request, body_length: &mut Option<usize>) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(&self.to)?;
        server.set_read_timeout(Some(Duration::from_secs(60)))?;
        server.write_all(&request.head)?;
        server.write_all(&request.body)?;
        let mut reader = BufReader::new(server);
        let mut answer = Vec::new();
        let (_, headers) = head(&mut reader, &mut answer)?;
        let length = find(&headers, "content-length").and_then(|length| length.parse().ok());
        if request.method == "HEAD" || answer.starts_with(b"HTTP/1.1 204") || answer.starts_with(b"HTTP/1.1 304") {
            *body_length = Some(0);
        } else if let Some(length) = length {
            *body_length = Some(length);
            reader.take(length as u64).read_to_end(&mut answer)?;
        } else {
            reader.read_to_end(&mut answer)?;
        }
        Ok(answer)
    }
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>, client: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut head_bytes = Vec::new();
        let (first, headers) = head(reader, &mut head_bytes)?;
        let mut words = first.split(' ');
        let (Some(method), Some(path)) = (words.next().filter(|method| !method.is_empty()), words.next()) else {
            return Ok(None);
        };
        let expects = find(&headers, "expect").is_some();
        if expects {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            // The server is sent everything at once.
            let text = String::from_utf8_lossy(&head_bytes).into_owned();
            let kept = text.split_inclusive("\r\n").filter(|line| !line.to_lowercase().starts_with("expect:"));
            head_bytes = kept.collect::<String>().into_bytes();
        }
        let length = find(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Some(Self { method: method.to_owned(), path: path.to_owned(), head: head_bytes, body }))
    }
}

/// Reads a head with the empty line behind it; gives its first line and the others.
fn head(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        bytes.extend_from_slice(line.as_bytes());
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let first = if lines.is_empty() { String::new() } else { lines.remove(0) };
    Ok((first, lines))
}

fn find<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = headers.iter().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
