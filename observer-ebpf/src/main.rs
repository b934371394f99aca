//! The programs that run in the kernel. On the host there is nothing to run.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        clippy::cast_ptr_alignment,
        clippy::indexing_slicing,
        reason = "every access is proven by the kernel's verifier before a program may run"
    ),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "sequence numbers and positions are compared by wrapping differences"
    ),
    expect(
        clippy::needless_pass_by_value,
        reason = "the macros that make entry points of functions pass contexts by value"
    ),
    expect(
        clippy::inline_always,
        reason = "a call costs more than most of these functions, and the verifier follows each"
    )
)]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// Never reached: a program that could panic does not pass the verifier.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Part of the helpers used are reserved for programs that say this.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
