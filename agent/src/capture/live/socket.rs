//! Two options of a packet socket that libpcap does not set: a kernel filter of our own, and a fanout group.
//!
//! libpcap sets kernel filters itself, but runs them over the ring's blocks at hand in user space too, where a filter for
//! the packet's way has nothing to look at and rejects everything: of ten packets that came right after `inbound` was set,
//! libpcap 1.10.3 gave none, and its counters did not say so.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::atomic::{AtomicU16, Ordering},
};

/// The kernel's limit for a classic filter (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

/// Attaches a filter, given as libpcap prints instructions: code, two jumps and an operand, in decimal.
pub(super) fn attach_filter(socket: BorrowedFd<'_>, instructions: &[String]) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "not a filter that the kernel takes");
    let mut program: Vec<libc::sock_filter> = Vec::with_capacity(instructions.len());
    for instruction in instructions {
        let words: Vec<&str> = instruction.split(' ').collect();
        let [code, jt, jf, k] = words[..] else {
            return Err(wrong());
        };
        let code = code.parse().map_err(|_| wrong())?;
        let (jt, jf) = (jt.parse().map_err(|_| wrong())?, jf.parse().map_err(|_| wrong())?);
        program.push(libc::sock_filter { code, jt, jf, k: k.parse().map_err(|_| wrong())? });
    }
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(wrong());
    }
    let length = u16::try_from(program.len()).map_err(|_| wrong())?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // `program` lives until the call has returned; the kernel copies it.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Joins a fanout group: the kernel gives each packet to one member, by the flow's hash; fragments are put together for it.
pub(super) fn join_fanout(socket: BorrowedFd<'_>, group: u16) -> io::Result<()> {
    const FANOUT_HASH: u32 = 0; // if_packet.h: PACKET_FANOUT_HASH
    let option: u32 = u32::from(group) | (FANOUT_HASH << 16);
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &option)
}

/// A number for a fanout group that no other group of this process has, and hardly one of another.
#[must_use]
pub fn next_fanout_group() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() & 0xffff).unwrap_or(0);
    start.wrapping_mul(251).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[expect(unsafe_code, reason = "no safe wrapper knows these two options")]
fn set<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: `socket` is an open descriptor for as long as it is borrowed. The kernel reads at most `length` bytes at
    // `value`, which is a live reference to a `T` of that size; what a `sock_fprog` points to is kept alive by its caller
    // (see `attach_filter`) and is as long as its `len` says. setsockopt keeps no pointer after it returns.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
