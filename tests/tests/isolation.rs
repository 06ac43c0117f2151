//! Four nodes in one process share nothing: a node that no link reaches knows nothing of what the
//! others say, and learns it over its mutual-TLS port as soon as there is one.

use std::{net::SocketAddr, time::Duration};

use registry_client::{Client, ClientConfig, connect::ANSWER_TIMEOUT};
use registry_node::{
    app::{App, Listeners},
    config::{Config, Listen},
    demo::{Prepared, prepare},
    lifecycle::Shutdown,
};
use registry_proto::terms::{
    Land::{self, HE, RP, SL, TH},
    LogId,
};
use registry_tests::{
    cluster::{eventually, keep_links},
    records::{definition, request, service_id},
};

const ALL: [Land; 4] = [SL, RP, HE, TH];
const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP - HE      TH
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_link_learns_nothing_from_its_neighbours_in_the_process() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut listeners = Vec::new();
    for _ in ALL {
        listeners.push(Listeners::bind(&any_ports()).await.expect("bound"));
    }
    let bound = listeners.iter().map(Listeners::addresses);
    let members: Vec<_> = ALL.into_iter().zip(bound).collect();
    let prepared = prepare(dir.path(), "Inseln", &members).expect("prepared");
    let mut apps = Vec::new();
    for (land, listeners) in ALL.into_iter().zip(listeners) {
        keep_links(&prepared.config(land), land, &[(SL, RP), (RP, HE)]);
        apps.push(start(&prepared, land, listeners).await);
    }
    let log = LogId { land: SL, epoch: 1 };
    let size = |app: &App| app.index().store().cut().size(log);

    eventually(LIMIT, "SL may publish", async || apps[0].board().load().fence_open).await;
    publish(&prepared, &apps[0]).await;
    eventually(LIMIT, "HE has it through RP", async || size(&apps[2]) == 1).await;
    assert_eq!(size(&apps[3]), 0, "TH has no link");
    assert!(!apps[3].board().load().fence_open, "nobody confirmed TH's log");

    // the same process, the same directories, now with a link
    let th = apps.pop().expect("TH");
    let listen = Config::load(&prepared.config(TH)).expect("configuration").listen;
    th.stop().await;
    let members: Vec<_> = members;
    prepare(dir.path(), "Inseln", &members).expect("prepared");
    keep_links(&prepared.config(TH), TH, &[(HE, TH)]);
    let listeners = Listeners::bind(&listen).await.expect("bound");
    let th = start(&prepared, TH, listeners).await;
    eventually(LIMIT, "TH has it through HE", async || size(&th) == 1).await;
    th.stop().await;
    for app in apps {
        app.stop().await;
    }
}

async fn start(prepared: &Prepared, land: Land, listeners: Listeners) -> App {
    let config = Config::load(&prepared.config(land)).expect("configuration");
    App::start(config, listeners, Shutdown::new()).await.expect("starts")
}

async fn publish(prepared: &Prepared, app: &App) {
    let files = prepared.pki.publisher(app.identity().land);
    let config = ClientConfig {
        endpoint: format!("https://{}", app.bound().grpc),
        ca: prepared.pki.bundle(),
        cert: files.certificate,
        key: files.key,
        timeout: ANSWER_TIMEOUT,
    };
    let client = Client::connect(config).await.expect("connected");
    let id = service_id(1);
    client.publish(request(vec![definition(&id, "Inseldienst")], vec![])).await.expect("published");
}

fn any_ports() -> Listen {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Listen { grpc: any, web: None, admin: any, monitoring: any, http: None, join: None }
}
