//! The kernel's name for the machine and for itself.

use std::borrow::Cow;
use std::ffi::OsStr;

use nix::sys::utsname::uname;

use super::host::Failure;
use super::{Families, Machine, Type};

pub(super) fn collect(_: &Machine, families: &mut Families) -> Result<(), Failure> {
    let names = uname().map_err(|error| Failure::Refused("uname", error.into()))?;
    let text = OsStr::to_string_lossy;
    let values: [(&str, Cow<'_, str>); 6] = [
        ("domainname", text(names.domainname())),
        ("machine", text(names.machine())),
        ("nodename", text(names.nodename())),
        ("release", text(names.release())),
        ("sysname", text(names.sysname())),
        ("version", text(names.version())),
    ];
    let labels = values.each_ref().map(|(label, value)| (*label, &**value));
    let help = "Labeled system information as provided by the uname system call.";
    families
        .family("node_uname_info", Type::Gauge, help)
        .put(&labels, 1.0);
    Ok(())
}
