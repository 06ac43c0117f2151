//! Writes the journal that `tests/golden.rs` reads, in the format of today: `cargo run -p
//! registry-journal --example golden -- DIR`. A released format keeps its directory for ever.

use std::path::PathBuf;

use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
use registry_proto::log::leaf_hash;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: golden DIR")?;
    let label = Label { verbund: [0xAB; 32], land: "SL".to_owned(), epoch: 3 };
    let options = Options { segment_bytes: 1_500 };
    let (mut journal, _) = Journal::open(&dir, &label, options, &mut |_| {})?;
    for group in 0..4_u64 {
        let headers: Vec<_> = (0..3).map(|i| format!("header {}", group * 3 + i)).collect();
        let bodies: Vec<_> = (0..3).map(|i| format!("body {}", group * 3 + i).repeat(20)).collect();
        let entries: Vec<_> = headers
            .iter()
            .zip(&bodies)
            .enumerate()
            .map(|(i, (header, body))| EntryRef {
                header: header.as_bytes(),
                body: match (group, i) {
                    (1, 1) => Body::Withheld,
                    (2, 2) => Body::Erased,
                    _ => Body::Present { salt: b"0123456789abcdef", bytes: body.as_bytes() },
                },
            })
            .collect();
        let covers = group * 3 + 3;
        // the last group's note is ahead of it, with a proof
        let (note_size, proof) =
            if group == 3 { (20, vec![leaf_hash(b"proof")]) } else { (covers, Vec::new()) };
        let note = format!("note {note_size}").into();
        journal.append(&Group {
            entries: &entries,
            checkpoint: &CheckpointRecord { note, note_size, proof },
            received_unix_ms: 1_700_000_000_000 + group as i64,
            from: if group % 2 == 0 { "" } else { "rp-1" },
        })?;
    }
    journal.erase(7)?;
    Ok(())
}
