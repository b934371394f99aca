//! Harness for the tests that run observer against real servers on the real kernel.
