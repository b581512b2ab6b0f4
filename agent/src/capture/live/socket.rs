//! Options of a packet socket that libpcap does not set: a kernel filter of our own, a fanout group, times of arrival.
//!
//! libpcap sets kernel filters itself, but runs them over the ring's blocks at hand in user space too, where a filter for
//! the packet's way has nothing to look at and rejects everything: of ten packets that came right after `inbound` was set,
//! libpcap 1.10.3 gave none, and its counters did not say so.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
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

/// Has the kernel stamp packets as they arrive, before anybody looks at them: the firewall's log then has the very times that the
/// capture has, and a packet is in one window for both.
pub(super) fn stamp_on_arrival(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: i32 = 1;
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMP, &on)
}

/// A filter that takes nothing.
pub(super) const NOTHING: &str = "6 0 0 0";

/// Joins a fanout group, or makes one that no other socket of this network namespace has; gives its number. The kernel gives
/// each packet to one member, by the flow's hash; of fragments it knows addresses alone, so one member gets all of a datagram.
pub(super) fn join_fanout(socket: BorrowedFd<'_>, group: Option<u16>) -> io::Result<u16> {
    // if_packet.h
    const FANOUT_HASH: u32 = 0;
    const FLAG_UNIQUE_ID: u32 = 0x2000;
    let option = match group {
        Some(group) => u32::from(group) | (FANOUT_HASH << 16),
        None => (FANOUT_HASH | FLAG_UNIQUE_ID) << 16,
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &option)?;
    match group {
        Some(group) => Ok(group),
        None => Ok(u16::try_from(get(socket, libc::SOL_PACKET, libc::PACKET_FANOUT)? & 0xffff).unwrap_or(0)),
    }
}

#[expect(unsafe_code, reason = "no safe wrapper knows these options")]
fn set<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: `socket` is an open descriptor for as long as it is borrowed. The kernel reads at most `length` bytes at
    // `value`, which is a live reference to a `T` of that size; what a `sock_fprog` points to is kept alive by its caller
    // (see `attach_filter`) and is as long as its `len` says. setsockopt keeps no pointer after it returns.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The value of an option that is a number.
#[expect(unsafe_code, reason = "no safe wrapper knows this option")]
fn get(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<u32> {
    let mut value: u32 = 0;
    let mut length: libc::socklen_t = 4;
    // SAFETY: `socket` is an open descriptor for as long as it is borrowed. The kernel writes at most `length` bytes, the size of
    // `value`, to `value`, and the length to `length`; both are live, exclusive references. getsockopt keeps no pointer.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, ptr::from_mut(&mut value).cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
