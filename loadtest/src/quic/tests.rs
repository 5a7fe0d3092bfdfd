use super::agents::{Dialler, serve_all};
use super::work::{Kind, work};
use super::{Settings, hub};
use std::time::Duration;
use tokio::task::JoinSet;
use weft_certs::Authority;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;
use weft_proto::time::SystemClock;

const BRIEFLY: Duration = Duration::from_millis(50);

/// Each kind of work checks its own bytes; a figure without any work behind it would be none.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_work_is_done_with_either_settings_and_misses_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let id = HubId::generate(&SystemClock, &OsEntropy);
    let names = ["localhost".to_owned()];
    drop(Authority::create(&certs, id, &names, &SystemClock, &OsEntropy).unwrap());
    for settings in Settings::ALL {
        let endpoint = hub::listen(&certs, settings).unwrap();
        let dialler = Dialler::new(&certs, endpoint.local_addr().unwrap(), settings).unwrap();
        let accepted = async { endpoint.accept().await.unwrap().await.unwrap() };
        let (opened, accepted) = tokio::join!(dialler.open(1), accepted);
        let mut serving = JoinSet::new();
        serving.spawn(serve_all(opened.unwrap().remove(0)));
        for (kind, bytes_each) in [
            (Kind::Streams, 64),
            (Kind::ManyStreams, 64),
            (Kind::RoundTrips, 64),
            (Kind::Down, 64 * 1_024 * 1_024),
            (Kind::Up, 64 * 1_024 * 1_024),
        ] {
            let figures = work(&accepted, kind, BRIEFLY).await.unwrap();
            assert!(figures.count > 0, "{kind:?}");
            assert_eq!(figures.bytes, figures.count * bytes_each, "{kind:?}");
            assert!(figures.p50_micros <= figures.p99_micros, "{kind:?}");
        }
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                // Closed as soon as it is up.
                drop(incoming.await);
            }
        });
        assert!(dialler.handshakes(BRIEFLY, 2).await.unwrap().count > 0);
    }
}
