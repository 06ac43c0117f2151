//! Drafts over real processes: they stay where they are, and become what was published.

use std::process::Output;

use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{
        Draft, PublishDraftRequest, PublishRequest, Record, SaveDraftRequest, record,
    },
};
use registry_tests::{
    cluster::{Cluster, Who},
    records::{definition, version},
};
use tonic::Code;

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_stays_at_its_node_until_it_is_published() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    // not for anybody else, and not at the partner
    for who in [Who::Reader, Who::Operator(SL), Who::Node(RP)] {
        let other = cluster.client(SL, who).await.expect("connected");
        let refused = other.drafts().await.expect_err("refused");
        assert!(
            matches!(&refused, registry_client::ClientError::Refused { refusal, .. }
            if refusal.code == Code::PermissionDenied),
            "{who:?}: {refused:?}"
        );
    }
    let mut incomplete = definition("", "Versuch");
    incomplete.herausgeber = None;
    let draft = save(&client, None, incomplete).await;
    assert_eq!(draft.revision, 1);
    let checked = client.check_draft(draft.draft_id.clone()).await.expect("checked");
    let reasons: Vec<_> = checked.violations.iter().map(|it| it.reason.as_str()).collect();
    assert!(reasons.iter().any(|it| it.starts_with("HERAUSGEBER")), "{reasons:?}");
    let refused = publish(&client, &draft, None).await.expect_err("incomplete");
    assert_eq!(refused.class(), registry_client::Class::Refused, "{refused:?}");

    // it outlives the process, even a killed one
    cluster.kill(SL);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    assert_eq!(client.draft(draft.draft_id.clone()).await.expect("kept"), draft);
    let Some(record::Record::ServiceDefinition(kept)) = &draft.records[0].record else {
        panic!("a definition");
    };
    let complete = definition(&kept.service_id, "Versuch");
    let draft = save(&client, Some(&draft), complete.clone()).await;
    assert_eq!(draft.revision, 2);
    let checked = client.check_draft(draft.draft_id.clone()).await.expect("checked");
    assert!(checked.violations.is_empty() && checked.records.len() == 2, "{checked:?}");
    let size = log_size(&cluster, SL).await;
    assert_eq!(log_size(&cluster, RP).await, size, "nothing was written");

    let stale = publish(&client, &draft, Some(1)).await.expect_err("another revision");
    assert!(stale.to_string().contains("revision 2") || format!("{stale:?}").contains("MOVED_ON"));
    // a node that stopped between writing and deleting publishes again: nothing is written twice
    let records = draft.records.clone();
    let before = PublishRequest { records, ..PublishRequest::default() };
    client.publish(before).await.expect("published");
    let answer = publish(&client, &draft, Some(2)).await.expect("published");
    assert!(answer.deleted);
    let published = answer.published.unwrap_or_default();
    assert!(published.records.iter().all(|it| it.unchanged), "{published:?}");
    assert_eq!(log_size(&cluster, SL).await, size + 2);
    assert!(client.drafts().await.expect("listed").is_empty());

    let Output { status, stderr, .. } = cluster
        .registry(SL, Who::Publisher(SL), &["draft", "show", &draft.draft_id])
        .output()
        .expect("registry runs");
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(4) && told.contains("gibt es hier nicht"), "{told}");
}

async fn save(
    client: &registry_client::Client,
    before: Option<&Draft>,
    of: registry_proto::wire::registry::ServiceDefinition,
) -> Draft {
    let release = version("", "1.0.0", "neu");
    let records = [record::Record::ServiceDefinition(of), record::Record::ServiceVersion(release)];
    let request = SaveDraftRequest {
        draft_id: before.map(|it| it.draft_id.clone()).unwrap_or_default(),
        expected_revision: before.map(|it| it.revision),
        records: records.map(|it| Record { record: Some(it), expected_revision: None }).into(),
    };
    client.save_draft(request).await.expect("kept")
}

async fn publish(
    client: &registry_client::Client,
    draft: &Draft,
    expected_revision: Option<u64>,
) -> Result<registry_proto::wire::registry::PublishDraftResponse, registry_client::ClientError> {
    let draft_id = draft.draft_id.clone();
    client.publish_draft(PublishDraftRequest { draft_id, expected_revision, ack_peers: 0 }).await
}

/// Entries of the log of SL at a node.
async fn log_size(cluster: &Cluster, at: Land) -> u64 {
    let status = cluster.status(at).await.expect("status");
    status.logs.iter().find(|it| it.land == "SL").map(|it| it.size).unwrap_or_default()
}
