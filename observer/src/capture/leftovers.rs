//! What loading leaves behind: the kernel's types, taken apart, are a few mebibytes in small pieces,
//! which glibc keeps for whoever allocates next. Nobody does as much again.

/// Gives memory that is free back to the kernel.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "no crate here wraps the call")
)]
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and any thread may call it at any time.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
