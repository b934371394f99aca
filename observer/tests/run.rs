//! A run from start to end, with a pipeline that does nothing. One test, because signals are the
//! whole process's.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use idle::{ADDRESS, Nothing, RELOADED, STOPPED, ask_then, config, parts};
use nix::sys::signal::{Signal, raise};
use observer::cli::run::run;
use observer::config::Layers;

#[test]
fn a_run_ends_as_it_is_told_and_within_two_seconds() {
    // A signal drains, and the run succeeds.
    let started = Instant::now();
    run(
        config(),
        Layers::default(),
        parts(|setup| {
            *ADDRESS.lock().unwrap() = Some(setup.listener.local_addr().unwrap());
            ask_then(Signal::SIGTERM);
            Ok(Box::new(Nothing {
                stop_takes: Duration::ZERO,
            }))
        }),
    )
    .unwrap();
    assert_eq!(STOPPED.load(Ordering::SeqCst), 1);
    assert!(started.elapsed() < Duration::from_secs(2));

    assert_eq!(RELOADED.load(Ordering::SeqCst), 1);

    // One that does not end is left behind.
    let started = Instant::now();
    run(
        config(),
        Layers::default(),
        parts(|setup| {
            *ADDRESS.lock().unwrap() = Some(setup.listener.local_addr().unwrap());
            ask_then(Signal::SIGINT);
            Ok(Box::new(Nothing {
                stop_takes: Duration::from_mins(1),
            }))
        }),
    )
    .unwrap();
    assert_eq!(STOPPED.load(Ordering::SeqCst), 1);
    assert!(started.elapsed() < Duration::from_secs(2));

    // A stage that dies ends the run, which drains, and fails with its sentence.
    let error = run(
        config(),
        Layers::default(),
        parts(|setup| {
            setup.failure.tell("the ring cannot be read".into());
            setup.failure.tell("a second one is not heard".into());
            Ok(Box::new(Nothing {
                stop_takes: Duration::ZERO,
            }))
        }),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "the ring cannot be read");
    assert_eq!(STOPPED.load(Ordering::SeqCst), 2);

    // A signal while it starts ends it too.
    let started = Instant::now();
    run(
        config(),
        Layers::default(),
        parts(|_| {
            raise(Signal::SIGTERM).unwrap();
            std::thread::sleep(Duration::from_mins(1));
            Ok(Box::new(Nothing {
                stop_takes: Duration::ZERO,
            }))
        }),
    )
    .unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[cfg(test)]
mod idle {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};
    use observer::cli::{Parts, Running, Setup};
    use observer::config::Config;
    use observer::containers::View;
    use observer::export::Observed;
    use observer::export::agent::Statistics;
    use observer::ledger::Ledger;
    use observer::workloads::Directory;
    use observer_ebpf::Counter;

    pub(super) static STOPPED: AtomicUsize = AtomicUsize::new(0);
    pub(super) static RELOADED: AtomicUsize = AtomicUsize::new(0);
    pub(super) static ADDRESS: Mutex<Option<SocketAddr>> = Mutex::new(None);

    pub(super) struct Nothing {
        pub(super) stop_takes: Duration,
    }

    impl Observed for Nothing {
        fn ready(&self) -> Result<(), String> {
            Ok(())
        }

        fn ledgers(&self) -> Vec<Arc<Ledger>> {
            Vec::new()
        }

        fn kernel_counter(&self, _: Counter) -> u64 {
            0
        }

        fn statistics(&self) -> Statistics {
            Statistics::default()
        }
    }

    impl Running for Nothing {
        fn observed(&self) -> Arc<dyn Observed> {
            Arc::new(Self {
                stop_takes: Duration::ZERO,
            })
        }

        fn view(&self) -> View {
            View {
                directory: Directory::default(),
                selected: Box::new(Vec::new),
            }
        }

        fn reload(&self) {
            RELOADED.fetch_add(1, Ordering::SeqCst);
        }

        fn stop(self: Box<Self>) {
            std::thread::sleep(self.stop_takes);
            STOPPED.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn parts(start: fn(Setup) -> anyhow::Result<Box<dyn Running>>) -> Parts {
        Parts {
            requirements: |_| Vec::new(),
            start,
            record: |_, _, _, _| unreachable!("nothing is recorded"),
            replay: |_, _, _| unreachable!("nothing is replayed"),
            test: |_, _, _| unreachable!("no rules are tried"),
        }
    }

    pub(super) fn config() -> Config {
        Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        }
    }

    /// The agent is asked over HTTP, then told to end.
    pub(super) fn ask_then(signal: Signal) {
        std::thread::spawn(move || {
            let address = ADDRESS.lock().unwrap().unwrap();
            while !ask(address, "/readyz").starts_with("HTTP/1.1 200") {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(ask(address, "/metrics").contains("observer_bytes_pending 0\n"));
            // Does not end it, and is handed on.
            let before = RELOADED.load(Ordering::SeqCst);
            raise(Signal::SIGHUP).unwrap();
            while RELOADED.load(Ordering::SeqCst) == before {
                std::thread::sleep(Duration::from_millis(5));
            }
            raise(signal).unwrap();
        });
    }

    pub(super) fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}
