//! How the agent gets onto a node: its image.
#![expect(
    clippy::indexing_slicing,
    reason = "what a manifest lacks is null, and fails the test that asks for it"
)]

mod deploy {
    pub(crate) mod image;
}
