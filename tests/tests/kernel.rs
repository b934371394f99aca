//! The kernel side on the real kernel.
use observer::capture::{Capture, Settings};
use std::path::Path;

#[test]
fn smoke() {
    let t = std::time::Instant::now();
    let mut capture = match Capture::load(&Settings::default()) {
        Ok(c) => c,
        Err(e) => panic!("{e}"),
    };
    eprintln!("load {:?}", t.elapsed());
    for p in aya::programs::loaded_programs() {
        let p = p.unwrap();
        eprintln!(
            "{:?} {:?} {:?}",
            p.name_as_str(),
            p.verified_instruction_count(),
            p.size_translated()
        );
    }
    capture
        .attach(Path::new("/"))
        .unwrap_or_else(|e| panic!("{e}"));
    for p in capture.probes() {
        eprintln!("{} {} {:?}", p.probe.program, p.attached, p.failure);
    }
}
