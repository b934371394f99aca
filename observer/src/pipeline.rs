//! Builds the stages; owns threads, queues, shutdown.
