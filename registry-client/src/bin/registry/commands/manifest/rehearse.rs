//! A dry run of records whose files the node does not have.
//!
//! The node is asked about the records without those files, so that everything else is checked: the
//! numbers of versions, what stands already, what breaks. Only what describes an interface has to be
//! there for that, and is sent; a node forgets chunks that no version names.

use std::collections::BTreeSet;

use registry_client::Client;
use registry_proto::{
    artefact::{COMPARED_BYTES_MAX, COMPARED_TYPES},
    log::Hash,
    wire::registry::{Artefakt, PublishResponse, Record, record},
};

use super::read::Local;
use crate::{commands::artefact as files, errors::CliError, output::clean};

/// What a dry run leaves out.
#[derive(Debug, Default)]
pub(super) struct Absent {
    /// Files, each with the place of the record that names it.
    files: BTreeSet<(usize, Hash)>,
    /// A description of an interface is too large to be compared; what the node says without it
    /// would be wrong.
    pub(super) is_unclear: bool,
}

/// What a dry run does with a file that the node does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The node has to compare it.
    Send,
    /// Nothing depends on its content.
    LeaveOut,
    /// The node would have to compare it, and it is too large.
    Unclear,
}

// === impl Absent ===

impl Absent {
    pub(super) fn add(&mut self, at: usize, file: &Local) {
        self.files.insert((at, file.layout.sha256()));
    }

    /// Number of files that are left out, each counted once.
    pub(super) fn count(&self) -> usize {
        self.files.iter().map(|(_, sha256)| *sha256).collect::<BTreeSet<_>>().len()
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.files.append(&mut more.files);
        self.is_unclear |= more.is_unclear;
    }

    /// The record at a place without them.
    pub(super) fn without(&self, at: usize, mut record: Record) -> Record {
        if let Some(record::Record::ServiceVersion(it)) = &mut record.record {
            it.artefakte.retain(|it| !self.names(at, it));
        }
        record
    }

    /// Takes back what the node says only because they were left out.
    pub(super) fn correct(&self, at: &[usize], sent: &[Record], answer: &mut PublishResponse) {
        for ((at, record), told) in at.iter().zip(sent).zip(&mut answer.records) {
            let Some(record::Record::ServiceVersion(it)) = &record.record else { continue };
            let left_out: BTreeSet<String> = it
                .artefakte
                .iter()
                .filter(|it| self.names(*at, it))
                .map(|it| format!("artefakte[{}]", it.name.chars().take(100).collect::<String>()))
                .collect();
            if let Some(compared) = &mut told.compatibility {
                let gone = |rule: &str, path: &str| rule == REMOVED && left_out.contains(path);
                compared.changes.retain(|it| !gone(&it.rule, &it.path));
            }
        }
    }

    fn names(&self, at: usize, it: &Artefakt) -> bool {
        let sha256 = Hash::try_from(it.sha256.as_ref());
        sha256.is_ok_and(|sha256| self.files.contains(&(at, sha256)))
    }
}

/// What to do with a file of a record; `is_compared` if there is another version of its service.
pub(super) fn fate(record: &Record, file: &Local, is_compared: bool) -> Fate {
    let Some(record::Record::ServiceVersion(it)) = &record.record else { return Fate::LeaveOut };
    let sha256 = file.layout.sha256();
    let describes = it.artefakte.iter().any(|it| {
        it.sha256.as_ref() == sha256.as_bytes() && COMPARED_TYPES.contains(&it.typ.as_str())
    });
    match describes && is_compared {
        false => Fate::LeaveOut,
        true if file.layout.bytes() <= COMPARED_BYTES_MAX => Fate::Send,
        true => Fate::Unclear,
    }
}

/// Sends a file, with its progress.
pub(super) async fn send(client: &Client, file: &Local) -> Result<(), CliError> {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bar = files::bar(&clean(&name), file.layout.bytes());
    let step = &mut |step| files::advance(&bar, step);
    client.push_file(&file.path, &file.layout, step).await?;
    bar.finish_and_clear();
    Ok(())
}

/// Rule of a finding about a file that the new version does not name any more.
const REMOVED: &str = "ARTEFACT_REMOVED";

#[cfg(test)]
mod tests {
    use registry_proto::{
        artefact::Digester,
        wire::registry::{Compatibility, CompatibilityChange, PublishedRecord, ServiceVersion},
    };

    use super::*;

    fn local(bytes: &[u8]) -> Local {
        let mut digester = Digester::default();
        digester.update(bytes);
        Local { path: "x".into(), layout: digester.finish() }
    }

    fn artefakt(name: &str, typ: &str, file: &Local) -> Artefakt {
        let sha256 = file.layout.sha256().as_bytes().to_vec().into();
        let (name, typ) = (name.to_owned(), typ.to_owned());
        Artefakt { name, typ, sha256, ..Artefakt::default() }
    }

    fn version(artefakte: Vec<Artefakt>) -> Record {
        let it = ServiceVersion { artefakte, ..ServiceVersion::default() };
        Record { record: Some(record::Record::ServiceVersion(it)), expected_revision: None }
    }

    #[test]
    fn only_what_is_compared_is_sent() {
        let (api, workflow, large) = (local(b"api"), local(b"awml"), local(&vec![0; 5 << 20]));
        let record = version(vec![
            artefakt("api.yaml", "openapi", &api),
            artefakt("w.awml", "awml", &workflow),
            artefakt("large.json", "json_schema", &large),
        ]);
        for (file, is_compared, expect) in [
            (&api, true, Fate::Send),
            (&api, false, Fate::LeaveOut),
            (&workflow, true, Fate::LeaveOut),
            (&large, true, Fate::Unclear),
            (&large, false, Fate::LeaveOut),
            (&local(b"none of it"), true, Fate::LeaveOut),
        ] {
            assert_eq!(fate(&record, file, is_compared), expect);
        }
    }

    #[test]
    fn what_was_left_out_is_not_told_as_removed() {
        let (kept, gone) = (local(b"kept"), local(b"gone"));
        let record =
            version(vec![artefakt("a.pdf", "pdf", &kept), artefakt("b.awml", "awml", &gone)]);
        let mut absent = Absent::default();
        absent.add(3, &gone);
        absent.add(4, &gone);
        assert_eq!(absent.count(), 1);
        let names = |record: Record| match record.record {
            Some(record::Record::ServiceVersion(it)) => {
                it.artefakte.into_iter().map(|it| it.name).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        assert_eq!(names(absent.without(3, record.clone())), ["a.pdf"]);
        assert_eq!(names(absent.without(2, record.clone())), ["a.pdf", "b.awml"]);
        let change = |path: &str| CompatibilityChange {
            rule: REMOVED.to_owned(),
            path: path.to_owned(),
            ..CompatibilityChange::default()
        };
        let compatibility = Compatibility {
            changes: vec![change("artefakte[b.awml]"), change("artefakte[c.awml]")],
            ..Compatibility::default()
        };
        let told =
            PublishedRecord { compatibility: Some(compatibility), ..PublishedRecord::default() };
        let mut answer = PublishResponse { records: vec![told], ..PublishResponse::default() };
        absent.correct(&[3], &[record], &mut answer);
        let left = answer.records.remove(0).compatibility.unwrap_or_default().changes;
        assert_eq!(left, [change("artefakte[c.awml]")]);
    }
}
