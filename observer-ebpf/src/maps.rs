//! Every map, its bound, and what happens at the bound.

use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_map_type};
use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, RingBuf, SkStorage,
};
use aya_ebpf::macros::btf_map;
use observer_ebpf::{COUNTERS as ROWS, RINGS_MAX, VERDICT_SLOTS, Verdict};

use crate::programs::State;

/// The rings in use, by index; the agent puts [`RING_0`] and as many of the others there as its
/// setting says. A full ring refuses the record, which is counted (`LostRing`).
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<Ring, { RINGS_MAX as usize }> = ArrayOfMaps::new();

type Ring = RingBuf<u64, 4096>;

/// A ring for each name. The loader gives those in use the size of its setting; the others keep a
/// page.
macro_rules! rings {
    ($($name:ident)*) => { $(#[btf_map] static $name: Ring = Ring::new();)* };
}
rings! { RING_0 RING_1 RING_2 RING_3 RING_4 RING_5 RING_6 RING_7 }

/// A [`State`] per selected socket, freed with the socket. Bounded by [`TRACKED`]: over the
/// setting `sockets` a socket gets none and its bytes are `SkippedSockets`.
#[btf_map]
pub(crate) static SOCKETS: SkStorage<State> = SkStorage::new();

/// Marks the agent's own listener; its children inherit the mark. Bounded by the agent, which
/// alone writes it: one entry per listener and per scrape that is open.
#[btf_map]
pub(crate) static OWN: Inherited<u32> = Inherited::new();

/// What the agent decided, by cookie. Bounded by the loader; the least recently used goes first,
/// which costs a socket that never sent again its correction.
#[btf_map]
pub(crate) static VERDICTS: LruHashMap<u64, Verdict, 16384> = LruHashMap::new();

/// Raised with each write to [`VERDICTS`], by the cookie's low bits, so that a segment costs a
/// look-up in the hash only when there may be news. Fixed size; a shared slot costs a look-up.
#[btf_map]
pub(crate) static EPOCHS: Array<u32, { VERDICT_SLOTS as usize }> = Array::new();

/// One row of counters for each processor. Fixed size.
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<[u64; ROWS.len()], 1> = PerCpuArray::new();

/// Sockets that have a [`State`] now. One element.
#[btf_map]
pub(crate) static TRACKED: Array<u64, 1> = Array::new();

/// The cgroups the agent selected, for the process tracepoints, which know no attachment.
/// Bounded by the loader; what finds no room has no process records, and the agent says so.
#[btf_map]
pub(crate) static CGROUPS: HashMap<u64, u8, 1024> = HashMap::new();

/// Socket storage that an accepted socket takes over from its listener.
#[repr(C)]
pub(crate) struct Inherited<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

unsafe impl<T> Sync for Inherited<T> {}

impl<T> Inherited<T> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }
}
