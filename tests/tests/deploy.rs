//! How the agent gets onto a node: its image run by runc, and every manifest, without a cluster.
#![expect(
    clippy::indexing_slicing,
    reason = "what a manifest lacks is null, and fails the test that asks for it"
)]

mod deploy {
    mod compose;
    mod container;
    pub(crate) mod image;
    mod kubernetes;
    pub(crate) mod manifests;
    mod privileges;
    mod web;
}
