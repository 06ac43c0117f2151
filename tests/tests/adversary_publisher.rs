//! What somebody can do with a stolen certificate of a publisher whose rights are bound, over real
//! connections: what stands is not overwritten, and nothing beyond those rights is done. Each is
//! refused and counted, and what is published at SL still arrives at RP.

use std::fs;

use registry_client::{Client, ClientConfig, ClientError};
use registry_node::pki::{Authority, Request};
use registry_proto::{
    terms::Land::{RP, SL},
    wire::registry::{
        GetVersionRequest, Lifecycle, PublishRequest, Record, ServiceDefinition, VersionStatus,
        record,
    },
};
use registry_tests::{
    arena::{Arena, LIMIT, Run},
    attack::quarantined,
    cluster::{Who, eventually},
    records::{definition, request, service_id, version},
};
use time::OffsetDateTime;

const NAME: &str = "bauamt.example";
const BAUEN: &str = "bauen_wohnen";
const POLICY: &str = r#"format = 1
[[rules]]
name = "bauamt"
role = "publisher"
san = "bauamt.example"
themenfeld = ["bauen_wohnen"]
actions = ["publish"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_certificate_overwrites_nothing_and_does_nothing_beyond_its_rights() {
    let now = OffsetDateTime::now_utc();
    let ca = Authority::root("CA der Publizierenden", now).expect("root");
    let arena = Arena::prepare_with(|pki| {
        let anchors = fs::read_to_string(pki.client_anchors(SL)).expect("anchors");
        fs::write(pki.client_anchors(SL), anchors + &ca.pem()).expect("anchors");
    });
    let mut arena = arena.await;
    fs::write(arena.home(SL).join("policy.toml"), POLICY).expect("policy");
    arena.configure(SL, |table| {
        let file = ("file".to_owned(), "policy.toml".into());
        table.insert("policy".to_owned(), toml::Value::Table([file].into_iter().collect()));
    });
    arena.run(Run::default()).await;
    let honest = arena.honest().await;
    let stolen = ca.issue(&Request::client(NAME, now)).expect("issued");
    let (cert, key) = (arena.dir().join("stolen.pem"), arena.dir().join("stolen.key"));
    fs::write(&cert, &stolen.chain_pem).expect("written");
    fs::write(&key, &stolen.key_pem).expect("written");
    let config = ClientConfig { cert, key, ..arena.config(SL, Who::Reader) };
    let thief = Client::connect(config).await.expect("connected");

    // what it may: a service of its Themenfeld, with a version
    let (own, other) = (service_id(1), service_id(2));
    let building = |id: &str| ServiceDefinition {
        themenfeld: BAUEN.to_owned(),
        ..definition(id, "Bauantrag")
    };
    let first = request(vec![building(&own)], vec![version(&own, "1.0.0", "erste")]);
    thief.publish(first).await.expect("within its rights");
    let writer = arena.client(SL, Who::Publisher(SL)).await;
    let elsewhere =
        request(vec![definition(&other, "Gewerbe")], vec![version(&other, "1.0.0", "erste")]);
    writer.publish(elsewhere).await.expect("published");

    let drawn = request(vec![definition(&own, "Bauantrag")], vec![]);
    let cases: [(&str, PublishRequest, &str); 6] = [
        (
            "another content under a number that is taken",
            request(vec![], vec![version(&own, "1.0.0", "andere")]),
            "ALREADY_EXISTS",
        ),
        (
            "a number before it",
            request(vec![], vec![version(&own, "0.9.0", "andere")]),
            "INVALID_ARGUMENT",
        ),
        (
            "a version of another Themenfeld",
            request(vec![], vec![version(&other, "1.1.0", "andere")]),
            "PERMISSION_DENIED",
        ),
        (
            "the definition of another Themenfeld",
            request(vec![building(&other)], vec![]),
            "PERMISSION_DENIED",
        ),
        ("its own service drawn into another", drawn, "PERMISSION_DENIED"),
        ("an end of what it may publish", withdrawn(&own), "PERMISSION_DENIED"),
    ];
    for (what, records, code) in cases {
        eprintln!("{what}");
        let method = "/verbund.registry.v1.PublishService/Publish";
        let metric = format!("registry_requests_total{{method=\"{method}\",code=\"{code}\"}}");
        let before = arena.metric(SL, &metric).await;
        let refused = thief.publish(records).await.expect_err("refused");
        assert!(matches!(refused, ClientError::Refused { .. }), "{what} {refused:?}");
        assert_eq!(arena.metric(SL, &metric).await, before + 1, "{what} {refused:?}");
    }
    honest.goes_on().await;
    for (id, themenfeld) in [(&own, BAUEN), (&other, "unternehmensfuehrung_entwicklung")] {
        stands(&arena, id, themenfeld).await;
    }
    assert_eq!(arena.metric(RP, &quarantined(SL)).await, 0);
    arena.stop().await;
}

fn withdrawn(id: &str) -> PublishRequest {
    let said = VersionStatus {
        service_id: id.to_owned(),
        version: "1.0.0".to_owned(),
        lifecycle: Lifecycle::Zurueckgezogen.into(),
        grund: "gestohlen".to_owned(),
        ..VersionStatus::default()
    };
    let record = Some(record::Record::VersionStatus(said));
    let records = vec![Record { record, ..Record::default() }];
    PublishRequest { records, ..PublishRequest::default() }
}

/// At RP the first version of a service stands as it was published, and no other.
async fn stands(arena: &Arena, id: &str, themenfeld: &str) {
    let reader = arena.client(RP, Who::Reader).await;
    let ask = GetVersionRequest {
        service_id: id.to_owned(),
        version: "1.0.0".to_owned(),
        land: "SL".to_owned(),
        ..GetVersionRequest::default()
    };
    eventually(LIMIT, "RP shows it", async || reader.version(ask.clone()).await.is_ok()).await;
    let found = reader.version(ask).await.expect("shown").version.expect("a version");
    let life = found.life.map(|it| it.lifecycle());
    assert_eq!(life, Some(Lifecycle::Freigegeben));
    let said = found.version.and_then(|it| it.versionshinweis).map(|it| it.text);
    assert_eq!(said.as_deref(), Some("erste"));
    let asked = registry_proto::wire::registry::GetServiceRequest {
        service_id: id.to_owned(),
        land: "SL".to_owned(),
        ..Default::default()
    };
    let shown = reader.service(asked).await.expect("shown").service.expect("a service");
    assert_eq!(shown.version_count, 1);
    assert_eq!(shown.definition.map(|it| it.themenfeld).as_deref(), Some(themenfeld));
}
