//! The own log and its fence: inputs through `Node::handle`, effects in words.

mod auditing;
mod copies;
mod epochs;
mod fencing;
mod own_log;
mod quota;
mod recovery;
mod unseen;

use registry_proto::log::Checkpoint;

use crate::{
    log::Commit,
    node::Effect,
    submission::Submission,
    testing::{Bench, brief},
};

/// Publishes; the only effect is a commit.
#[track_caller]
fn commits(bench: &mut Bench, ticket: u64, submission: Submission) -> Commit {
    only_commit(bench.submit(ticket, submission))
}

#[track_caller]
fn only_commit(mut effects: Vec<Effect>) -> Commit {
    match (effects.pop(), effects.as_slice()) {
        (Some(Effect::Commit(commit)), []) => commit,
        (last, rest) => {
            let words: Vec<_> = rest.iter().chain(&last).map(brief).collect();
            panic!("expected one commit, found {words:?}")
        }
    }
}

/// Publishes and makes it durable and folded; it is answered.
#[track_caller]
fn publishes(bench: &mut Bench, ticket: u64, submission: Submission) -> Checkpoint {
    let commit = commits(bench, ticket, submission);
    bench.committed(commit.checkpoint);
    let said = bench.folded(commit.checkpoint.size);
    assert!(said.iter().any(|it| it.starts_with(&format!("reply {ticket} ["))), "{said:?}");
    commit.checkpoint
}

fn words(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(brief).collect()
}
