//! Messages as they travel. Generated from `proto/verbund/**.proto`; field comments stand there.

/// `verbund.registry.v1`: records, log, catalogue, publish, watch.
pub mod registry {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        reason = "generated; comments come from the protos"
    )]
    include!("gen/verbund.registry.v1.rs");
}

/// `verbund.peer.v1`: what nodes say to each other.
pub mod peer {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        reason = "generated; comments come from the protos"
    )]
    include!("gen/verbund.peer.v1.rs");
}

/// `verbund.admin.v1`: for operators of a node.
pub mod admin {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        reason = "generated; comments come from the protos"
    )]
    include!("gen/verbund.admin.v1.rs");
}

/// Encoded `FileDescriptorSet` of all three packages and their imports, for reflection and for
/// dynamic messages.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.binpb");
