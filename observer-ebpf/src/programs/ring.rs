//! Puts records into the ring: everything is decided before `reserve`.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes,
};
use observer_ebpf::{
    Counter, HEADER_SIZE, Header, IDENTITY_SIZE, Identity, RINGS_MAX, TAIL_MAX, ring_of,
};

use super::count::count;
use super::setting;
use crate::maps::RINGS;

/// A stretch of unread bytes behind the wake-up level in which records wake the agent: they look
/// only now and then, and two processors may both step over the level without either seeing it.
const WAKE_BAND: u64 = 64 * 1024;
/// A record of this size always looks how full the ring is; of smaller ones each eighth.
const LARGE: usize = 4096;

/// Which ring a connection's records go to.
#[inline(always)]
pub(super) fn choose(local: u16, remote: u16) -> u8 {
    ring_of(local, remote, setting!(rings)) as u8
}

/// The ring of this number; null only if the agent made none.
#[inline(always)]
pub(super) fn of(index: u8) -> *mut c_void {
    let index = u32::from(index) & (RINGS_MAX - 1);
    RINGS.get(index).map_or(ptr::null_mut(), |ring| {
        ptr::from_ref(ring).cast_mut().cast()
    })
}

#[inline(always)]
pub(super) fn reserve(ring: *mut c_void, size: usize) -> *mut u8 {
    let record = unsafe { bpf_ringbuf_reserve(ring, size as u64, 0) }.cast::<u8>();
    if record.is_null() {
        count(Counter::RecordsRingFull, 1);
    }
    record
}

/// Hands a record of this size over, and wakes the agent only where it fills the ring past the
/// level. `time` is the record's; its lowest bits are as good as random.
#[inline(always)]
pub(super) fn submit(ring: *mut c_void, record: *mut u8, size: usize, time: u64) {
    let mut flags = BPF_RB_NO_WAKEUP;
    if size >= LARGE || time.is_multiple_of(8) {
        let unread = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
        let wake = u64::from(setting!(wake));
        if unread >= wake && unread < wake + WAKE_BAND + size as u64 {
            count(Counter::WakeUps, 1);
            flags = BPF_RB_FORCE_WAKEUP;
        }
    }
    unsafe { bpf_ringbuf_submit(record.cast(), u64::from(flags)) };
    count(Counter::RecordsSubmitted, 1);
}

/// Copies `length` bytes, 1 to `MOST` (a power of two); the mask tells the verifier so.
#[inline(always)]
fn copy<const MOST: u32>(skb: *mut __sk_buff, offset: u32, to: *mut u8, length: u32) -> u32 {
    let length = (length.wrapping_sub(1) & (MOST - 1)) + 1;
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, to.cast(), length) } == 0 {
        length
    } else {
        0
    }
}

/// A record with at most `HEAD` bytes from the segment's start.
#[inline(always)]
fn put<const HEAD: u32>(
    ring: *mut c_void,
    skb: *mut __sk_buff,
    header: &Header,
    offset: u32,
) -> bool {
    let size = HEADER_SIZE + HEAD as usize;
    let record = reserve(ring, size);
    if record.is_null() {
        return false;
    }
    let mut written = *header;
    if HEAD > 0 {
        let to = unsafe { record.add(HEADER_SIZE) };
        written.head = copy::<HEAD>(skb, offset, to, header.head);
    }
    unsafe { record.cast::<Header>().write(written) };
    submit(ring, record, size, header.time);
    true
}

/// A record with at most `HEAD` bytes from the segment's start and [`TAIL_MAX`] from its end.
#[inline(always)]
fn put_tailed<const HEAD: u32>(
    ring: *mut c_void,
    skb: *mut __sk_buff,
    header: &Header,
    offset: u32,
) -> bool {
    let size = HEADER_SIZE + HEAD as usize + TAIL_MAX as usize;
    let record = reserve(ring, size);
    if record.is_null() {
        return false;
    }
    let mut written = *header;
    let mut to = unsafe { record.add(HEADER_SIZE) };
    if HEAD > 0 && header.head > 0 {
        written.head = copy::<HEAD>(skb, offset, to, header.head);
        to = unsafe { to.add(written.head as usize) };
    }
    let tail = offset + header.length - header.tail;
    written.tail = copy::<TAIL_MAX>(skb, tail, to, header.tail);
    unsafe { record.cast::<Header>().write(written) };
    submit(ring, record, size, header.time);
    true
}

/// A segment's record, in the smallest class that holds what the header says to copy; `offset` is
/// where the part's payload begins in the packet. The classes are `SIZE_CLASSES`.
#[inline(always)]
pub(super) fn segment(
    ring: *mut c_void,
    skb: *mut __sk_buff,
    header: &Header,
    offset: u32,
) -> bool {
    if header.tail > 0 {
        return match header.head {
            0 => put_tailed::<0>(ring, skb, header, offset),
            1..=1024 => put_tailed::<1024>(ring, skb, header, offset),
            1025..=8192 => put_tailed::<8192>(ring, skb, header, offset),
            _ => put_tailed::<65536>(ring, skb, header, offset),
        };
    }
    match header.head {
        0 => put::<0>(ring, skb, header, offset),
        1..=64 => put::<64>(ring, skb, header, offset),
        65..=128 => put::<128>(ring, skb, header, offset),
        129..=256 => put::<256>(ring, skb, header, offset),
        257..=512 => put::<512>(ring, skb, header, offset),
        513..=1024 => put::<1024>(ring, skb, header, offset),
        1025..=2048 => put::<2048>(ring, skb, header, offset),
        2049..=4096 => put::<4096>(ring, skb, header, offset),
        4097..=8192 => put::<8192>(ring, skb, header, offset),
        8193..=16384 => put::<16384>(ring, skb, header, offset),
        _ => put::<65536>(ring, skb, header, offset),
    }
}

/// An `Early` record: who the child will be, and its first bytes.
#[inline(never)]
pub(super) fn early<const HEAD: u32>(
    ring: *mut c_void,
    skb: *mut __sk_buff,
    header: &Header,
    identity: &Identity,
    offset: u32,
) -> bool {
    let size = HEADER_SIZE + IDENTITY_SIZE + HEAD as usize;
    let record = reserve(ring, size);
    if record.is_null() {
        return false;
    }
    let mut written = *header;
    let to = unsafe { record.add(HEADER_SIZE + IDENTITY_SIZE) };
    written.head = copy::<HEAD>(skb, offset, to, header.head);
    unsafe {
        record.cast::<Header>().write(written);
        record.add(HEADER_SIZE).cast::<Identity>().write(*identity);
    }
    submit(ring, record, size, header.time);
    true
}
