//! The least a program can do that puts a record of each segment into a ring, and the least any
//! program can do: what the benchmarks measure the programs against. Not part of the agent.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod floor {
    #![expect(
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        clippy::needless_pass_by_value,
        clippy::inline_always,
        reason = "as in the programs themselves"
    )]

    use core::ffi::c_void;

    use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
    use aya_ebpf::btf_maps::RingBuf;
    use aya_ebpf::helpers::generated::{
        bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes,
    };
    use aya_ebpf::macros::{btf_map, cgroup_skb};
    use aya_ebpf::programs::SkBuffContext;

    /// Shortest packet of IPv4 and TCP with options that has payload.
    const BARE: u32 = 52;

    /// Bytes of a record; set by who loads it.
    #[unsafe(no_mangle)]
    static SIZE: u64 = 192;
    /// How many of them are copied from the packet's end.
    #[unsafe(no_mangle)]
    static COPY: u32 = 100;

    #[btf_map]
    static RING: RingBuf<u64, { 8 << 20 }> = RingBuf::new();

    #[cgroup_skb(egress)]
    fn floor_egress(ctx: SkBuffContext) -> i32 {
        put(&ctx);
        1
    }

    #[cgroup_skb(ingress)]
    fn floor_ingress(ctx: SkBuffContext) -> i32 {
        put(&ctx);
        1
    }

    /// What being attached costs.
    #[cgroup_skb(egress)]
    fn empty_egress(_: SkBuffContext) -> i32 {
        1
    }

    #[cgroup_skb(ingress)]
    fn empty_ingress(_: SkBuffContext) -> i32 {
        1
    }

    #[inline(always)]
    fn put(ctx: &SkBuffContext) {
        let (size, copy) = unsafe {
            (
                (&raw const SIZE).read_volatile(),
                (&raw const COPY).read_volatile(),
            )
        };
        let length = ctx.len();
        if length < BARE + copy {
            return;
        }
        let ring: *mut c_void = (&raw const RING).cast_mut().cast();
        let record = unsafe { bpf_ringbuf_reserve(ring, size, 0) };
        if record.is_null() {
            return;
        }
        unsafe {
            bpf_skb_load_bytes(ctx.skb.skb.cast(), length - copy, record, copy);
            bpf_ringbuf_submit(record, u64::from(BPF_RB_NO_WAKEUP));
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
