//! Delivery points of FIT-Connect at a node with a root: verified before anything is signed, and
//! what could not be verified is told at partners too.

use std::{fs, time::Duration};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA512, RsaKeySize,
};
use registry_client::ClientError;
use registry_proto::{
    terms::Land::{RP, SL},
    wire::registry::{GetVersionRequest, ServiceVersion, Zustellung},
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const DESTINATION: &str = "d3a1c1f0-8d2f-4b6e-9a53-2f5d7c1e0b9a";

//     SL - RP        SL trusts a root, RP none
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_point_is_verified_by_the_node_that_publishes_it() {
    let (root, leaf, key) = pki();
    let mut cluster = Cluster::prepare(&[SL, RP], &[(SL, RP)]);
    fs::write(cluster.home(SL).join("wurzel.pem"), root).expect("written");
    let path = cluster.prepared().config(SL);
    let config = fs::read_to_string(&path).expect("configuration");
    let config = format!("{config}\n[fit_connect]\nroots = [\"wurzel.pem\"]\n");
    fs::write(&path, config).expect("configuration");
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&[SL, RP]).await;

    let certified = json!({"alg": "PS512", "x5c": [BASE64_STANDARD.encode(&leaf)]});
    let named = json!({"alg": "PS512", "kid": "k-1"});
    let id = service_id(1);
    let with = |number: &str, jws: String| {
        let one = Zustellung { destination_id: DESTINATION.to_owned(), destination_signature: jws };
        ServiceVersion { zustellungen: vec![one], ..version(&id, number, "neu") }
    };
    let good = signed(&certified, "99050012104000", &key);
    let published = cluster
        .publish(SL, request(vec![definition(&id, "Versuch")], vec![with("1.0.0", good.clone())]))
        .await
        .expect("published");
    let warned = |at: usize, of: &registry_proto::wire::registry::PublishResponse| {
        let all = of.records[at].warnings.iter().map(|it| it.reason.clone());
        all.filter(|it| it.starts_with("ZUSTELLUNG")).collect::<Vec<_>>()
    };
    assert!(warned(1, &published).is_empty(), "{published:?}");

    // signed for another service, and with bytes that were not signed
    let foreign = signed(&certified, "99012001001000", &key);
    let (head, rest) = good.split_once('.').expect("parts");
    let (_, signature) = rest.split_once('.').expect("parts");
    let payload = foreign.split('.').nth(1).expect("a payload");
    let forged = format!("{head}.{payload}.{signature}");
    for (jws, reasons) in [
        (foreign, &["ZUSTELLUNG_LEISTUNG"][..]),
        (forged, &["ZUSTELLUNG_LEISTUNG", "ZUSTELLUNG_SIGNATURE"]),
    ] {
        let refused = cluster.publish(SL, request(vec![], vec![with("1.1.0", jws)])).await;
        let Err(ClientError::Refused { refusal, .. }) = refused else { panic!("{refused:?}") };
        let found: Vec<_> = refusal.violations.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(found, reasons, "{refusal:?}");
    }

    // only named: published with a warning, which the partner tells as well
    let named = signed(&named, "99050012104000", &key);
    let published = cluster.publish(SL, request(vec![], vec![with("1.1.0", named)])).await;
    let published = published.expect("published");
    assert_eq!(warned(0, &published), ["ZUSTELLUNG_UNCHECKED"]);
    let client = cluster.client(RP, Who::Reader).await.expect("connected");
    eventually(LIMIT, "RP tells what SL found", async || {
        let (service_id, version) = (id.clone(), "1.1.0".to_owned());
        let ask = GetVersionRequest { service_id, version, ..GetVersionRequest::default() };
        let Ok(answer) = client.version(ask).await else { return false };
        let record = answer.version.and_then(|it| it.version).unwrap_or_default();
        record.hinweise.iter().any(|it| {
            it.reason == "ZUSTELLUNG_UNCHECKED"
                && it.field == "zustellungen[0].destination_signature"
        })
    })
    .await;
}

/// A root as PEM, and a certificate under it with its RSA key.
fn pki() -> (String, Vec<u8>, KeyPair) {
    let params = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut above = params("Wurzel");
    above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
    let root = above.self_signed(&root_key).expect("a root").pem();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, RsaKeySize::_4096).expect("a key");
    let mut below = params("Zustelldienst");
    below.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = below.signed_by(&key, &Issuer::new(above, root_key)).expect("a certificate");
    (root, leaf.der().to_vec(), key)
}

/// A destination signature for a Leistungsschlüssel in the Saarland.
fn signed(header: &Value, leistung: &str, key: &KeyPair) -> String {
    let payload = json!({
        "destinationId": DESTINATION,
        "services": [{
            "leistungIDs": [format!("urn:de:fim:leika:leistung:{leistung}")],
            "gebietIDs": ["urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:rs:10"],
        }],
    });
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(&payload));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key).expect("a key that signs");
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA512]).expect("PS512");
    let signature = signer.sign(text.as_bytes()).expect("signed");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
