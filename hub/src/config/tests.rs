//! Precedence, names of wrong keys, and the file that `init` writes.

use super::*;
use std::time::Duration;
use weft_certs::HubAddress;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<HubConfig, ConfigError> {
    load_with(file, environment, &Overrides::default())
}

fn load_with(
    file: &str,
    environment: &[(&str, &str)],
    overrides: &Overrides,
) -> Result<HubConfig, ConfigError> {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join(CONFIG_FILE), file).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    HubConfig::load_from(data.path(), environment, overrides)
}

#[test]
fn an_empty_file_is_a_working_hub_with_the_designs_doors() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.users.addresses, ["0.0.0.0:8443".parse().unwrap()]);
    assert_eq!(settings.agents.addresses, ["0.0.0.0:7443".parse().unwrap()]);
    assert_eq!(settings.admin.address, "127.0.0.1:9443".parse().unwrap());
    assert_eq!(settings.limits.drain, Duration::from_secs(30));
    assert_eq!(settings.log.format, LogFormat::Text);
}

#[test]
fn environment_beats_file_and_a_flag_beats_both() {
    let file = "[limits]\ndrain_seconds = 1\nbody_bytes_max = 10\n[log]\nlevel = \"warn\"";
    let environment = [
        ("WEFT_LIMITS__DRAIN_SECONDS", "2"),
        ("WEFT_USERS__ADDRESSES", "127.0.0.1:1,[::1]:2"),
        ("WEFT_AGENTS__PUBLIC", "hub.example:7443,[2001:db8::1]:1"),
        ("WEFT_LOG__LEVEL", "debug"),
        ("WEFT_LOG__FORMAT", "json"),
        ("WEFT_DATA", "/elsewhere"),
    ];
    let flags = Overrides { log_level: Some("trace".to_owned()), ..Overrides::default() };
    let settings = load_with(file, &environment, &flags).unwrap();
    assert_eq!(settings.limits.drain, Duration::from_secs(2));
    assert_eq!(settings.limits.body_bytes_max, 10);
    assert_eq!(settings.users.addresses.len(), 2);
    assert_eq!(settings.agents.public[1].to_string(), "[2001:db8::1]:1");
    assert_eq!(settings.log.level, "trace");
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn both_doors_may_have_one_number_only_where_users_do_not_come_over_udp() {
    let same =
        "[users]\naddresses = [\"127.0.0.1:443\"]\n[agents]\naddresses = [\"127.0.0.1:443\"]";
    let refused = load(same, &[]).unwrap_err().to_string();
    assert!(refused.contains("h3 = false"), "{refused}");
    let settings = load(same, &[("WEFT_USERS__H3", "false")]).unwrap();
    assert!(!settings.users.h3);
    let apart = same.replacen("127.0.0.1", "127.0.0.2", 1);
    assert!(load(&apart, &[]).unwrap().users.h3);
    // Ports that the system chooses are never the same.
    assert!(load(&same.replace(":443", ":0"), &[("WEFT_USERS__H3_PORT", "443")]).is_ok());
}

#[test]
fn every_error_names_its_key() {
    for (file, environment, named) in [
        ("[limits]\ndrain_secs = 1", None, "limits.drain_secs"),
        ("[limit]\n", None, "limit"),
        ("[limits]\ndrain_seconds = \"soon\"", None, "limits.drain_seconds"),
        ("[limits]\nexchanges_max = 0", None, "limits.exchanges_max"),
        ("[limits]\nbody_bytes_max = -1", None, "limits.body_bytes_max"),
        ("[limits]\nexchange_seconds = 0", None, "limits.exchange_seconds"),
        ("[limits]\nexchange_seconds = 9223372036854775807", None, "limits.exchange_seconds"),
        ("[limits]\nstall_seconds = 2592001", None, "limits.stall_seconds"),
        ("", Some(("WEFT_LIMITS__DRAIN_SECONDS", "2592001")), "limits.drain_seconds"),
        ("[money]\noverdraft_max = \"-1\"", None, "money.overdraft_max"),
        ("[money]\noverdraft_max = \"ten\"", None, "money.overdraft_max"),
        ("[money]\nlease = \"0.001\"", None, "money.lease"),
        ("[money]\nlease = true", None, "money.lease"),
        ("[money]\nclaim_window_seconds = 1", None, "money.claim_window_seconds"),
        ("[money]\ndispute_window_seconds = 99999999", None, "money.dispute_window_seconds"),
        ("[money]\ndrain_max_seconds = 61", None, "money.drain_max_seconds"),
        ("[money]\nunpriced = \"ask\"", None, "money.unpriced"),
        ("[money]\non_abort = { google = \"drain\" }", None, "money.on_abort"),
        ("[users]\naddresses = [\"nowhere\"]", None, "users.addresses"),
        ("[agents]\naddresses = []", None, "agents.addresses"),
        ("[agents]\naddresses = [\"127.0.0.1:8443\"]", None, "agents.addresses"),
        ("[users]\nh3 = 1.5", None, "users.h3"),
        ("[users]\nh3_port = 0", None, "users.h3_port"),
        ("[limits]\nh3_streams_max = 0", None, "limits.h3_streams_max"),
        ("[agents]\npublic = [\"hub.example\"]", None, "agents.public"),
        ("[users]\ncertificate = { chain = \"a\" }", None, "users.certificate"),
        ("[log]\nformat = \"xml\"", None, "log.format"),
        ("", Some(("WEFT_LIMITS__DRIAN_SECONDS", "5")), "limits.drian_seconds"),
        ("", Some(("WEFT_ADMIN__ALLOW_REMOTE", "maybe")), "admin.allow_remote"),
    ] {
        let environment: Vec<_> = environment.into_iter().collect();
        let error = load(file, &environment).unwrap_err().to_string();
        assert!(error.contains(named), "{file:?} {environment:?}: {error}");
    }
}

#[test]
fn a_drain_and_a_wait_may_be_none_and_every_other_time_a_second_to_thirty_days() {
    let file = "[limits]\nagent_wait_seconds = 0\ndrain_seconds = 0\nexchange_seconds = 2592000";
    let settings = load(file, &[]).unwrap();
    assert!(settings.limits.drain.is_zero());
    assert!(settings.limits.agent_wait.is_zero());
    assert_eq!(settings.limits.exchange, Duration::from_secs(30 * 86_400));
    for key in ["handshake", "head", "body_idle", "answer_head", "answer_idle", "stall", "exchange"]
    {
        let key = format!("{key}_seconds");
        let error = load(&format!("[limits]\n{key} = 0"), &[]).unwrap_err().to_string();
        assert!(error.contains(&format!("limits.{key}")), "{error}");
    }
}

#[test]
fn a_request_waits_by_default_until_an_idle_agent_has_learned_that_its_hub_was_killed() {
    use weft_proto::limits::{KEEP_ALIVE, KEEP_ALIVE_JITTER_PERCENT};
    let learned = KEEP_ALIVE + KEEP_ALIVE * KEEP_ALIVE_JITTER_PERCENT / 100;
    let wait = load("", &[]).unwrap().limits.agent_wait;
    assert!(wait > learned + Duration::from_secs(1), "{wait:?} after {learned:?}");
}

#[test]
fn amounts_of_money_are_exact_wherever_they_come_from() {
    let settings = load(
        "[money]\noverdraft_max = \"0.000000001\"\n[money.on_abort]\nazure = \"drain\"",
        &[("WEFT_MONEY__LEASE", "2.50")],
    )
    .unwrap();
    assert_eq!(settings.money.overdraft_max.nanos(), 1);
    assert_eq!(settings.money.lease.nanos(), 2_500_000_000);
    assert_eq!(settings.money.on_abort.at(weft_proto::provider::Provider::Azure), OnAbort::Drain);
    assert_eq!(settings.money.on_abort.at(weft_proto::provider::Provider::OpenAi), OnAbort::Cancel);
}

#[test]
fn broken_toml_is_told_with_its_line_and_a_missing_directory_with_its_cure() {
    let error = load("[users]\naddresses = [", &[]).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    let error = HubConfig::load(Path::new("/nonexistent/weft"), &Overrides::default());
    assert!(error.unwrap_err().to_string().contains("weft-hub init --data /nonexistent/weft"));
}

#[test]
fn an_admin_door_for_other_machines_must_be_allowed_in_so_many_words() {
    let open = "[admin]\naddress = \"0.0.0.0:9443\"\n";
    assert!(load(open, &[]).unwrap_err().to_string().contains("admin.address"));
    assert!(load(&format!("{open}allow_remote = true"), &[]).is_ok());
    assert!(load("[admin]\naddress = \"[::1]:9443\"", &[]).is_ok());
}

#[test]
fn the_file_that_init_writes_is_read_back_and_its_comments_are_the_defaults() {
    let public: Vec<HubAddress> =
        vec!["hub.example:7443".parse().unwrap(), "[2001:db8::1]:7443".parse().unwrap()];
    let settings = load(&render_initial(&public), &[]).unwrap();
    assert_eq!(settings.agents.public, public);

    // Each commented setting, uncommented, must be what an empty file means.
    let spelled: String = render_initial(&AgentsDoor::default().public)
        .lines()
        // Examples, not defaults: there are none.
        .filter(|line| {
            !["# certificate", "# h3_port", "# url", "# secret"]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let (spelled, empty) = (load(&spelled, &[]).unwrap(), load("", &[]).unwrap());
    let without_data = |mut settings: HubConfig| {
        settings.data = PathBuf::new();
        format!("{settings:?}")
    };
    assert_eq!(without_data(spelled), without_data(empty));
}

#[test]
fn the_agents_door_of_a_host_is_at_its_default_port() {
    for (host, address) in [
        ("hub.example", "hub.example:7443"),
        ("192.0.2.1", "192.0.2.1:7443"),
        ("2001:db8::1", "[2001:db8::1]:7443"),
    ] {
        assert_eq!(agents_door_of(&host.parse().unwrap()).unwrap().to_string(), address);
    }
}

#[test]
fn a_database_of_a_server_comes_by_file_or_environment_and_its_password_is_shown_nowhere() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.database().file(), Some(&*settings.data.join("hub.sqlite")));
    let url = "mysql://weft:hunter2@127.0.0.1:3306/weft";
    let file = format!("[store]\nurl = \"{url}\"");
    for settings in [load(&file, &[]), load("", &[("WEFT_STORE__URL", url)])] {
        let settings = settings.unwrap();
        assert_eq!(settings.database().file(), None);
        assert_eq!(settings.database().to_string(), "mysql://weft@127.0.0.1:3306/weft");
        let told = format!("{:?}", changes(&HubConfig::default(), &settings));
        let shown = format!("{settings:?} {told} {}", serde_json::to_string(&settings).unwrap());
        assert!(told.contains("store.url") && !shown.contains("hunter2"), "{shown}");
    }
    for bad in ["mysql://weft:hunter2@host", "hunter2", "mysql://a:hunter2@b/c?ssl-mod=required"] {
        let error = load("", &[("WEFT_STORE__URL", bad)]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("store.url") && !shown.contains("hunter2"), "{shown}");
    }
}
