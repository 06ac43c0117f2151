//! A catalogue as files: what a directory of records says against what stands in the log.
//!
//! A manifest is a YAML file of records, as `registry publish` reads them, limited to definitions
//! and versions; a version names its artefacts by paths beside the file.
//!
//! - [`plan`]: what publishing the files would change, from the records alone.
//! - [`render`]: a service as the text of a manifest, the same for the same records.
//! - [`paths`]: paths of artefacts, which stay in the directory.
//! - [`schema`]: the JSON Schema of a manifest, for editors.
//!
//! Nothing here reads a file or asks a node.

pub mod paths;
pub mod plan;
pub mod render;
pub mod schema;

use registry_proto::wire::registry::record;

/// Takes away what the owner's node found in a record: it is no part of what is published, and a
/// manifest that held it would never be equal to the catalogue.
pub fn without_findings(record: &mut record::Record) {
    match record {
        record::Record::ServiceDefinition(it) => it.hinweise.clear(),
        record::Record::ServiceVersion(it) => it.hinweise.clear(),
        _ => {}
    }
}
