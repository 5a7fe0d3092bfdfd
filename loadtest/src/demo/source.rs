//! Who answers in the demo: real providers by the keys in the environment, a small model on this
//! machine, or the simulated provider.

use crate::mesh::MeshError;
use crate::mesh::process::{Process, command, tail};
use anyhow::Context;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_proto::provider::Provider;

/// How long a small model may take to load.
const MODEL_READY_MAX: Duration = Duration::from_secs(60);
/// How long the simulated provider may take to listen.
const SIMULATED_READY_MAX: Duration = Duration::from_secs(10);
/// The model that the simulated provider is asked for: it answers to any name.
const SIMULATED_MODEL: &str = "simulated-model";
/// The key for what runs on this machine, which looks at none.
const NO_KEY: &str = "sk-none-needed-on-this-machine";
/// The dialects that the small model's server speaks.
pub(super) const SMALL_MODEL_DIALECTS: [Provider; 2] = [Provider::OpenAi, Provider::Anthropic];
/// The dialects of the simulated provider that need no declared deployment.
pub(super) const SIMULATED_DIALECTS: [Provider; 2] = [Provider::OpenAi, Provider::Anthropic];

/// A provider's key on its way from the environment into an agent's vault.
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An account that the demo's agent gets.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) provider: Provider,
    pub(super) model: String,
    pub(super) secret: Secret,
    /// Further words of `account add`.
    pub(super) words: Vec<String>,
}

/// A Python that has the small model, and the script that serves it.
#[derive(Debug)]
pub(super) struct SmallModel {
    python: PathBuf,
    script: PathBuf,
}

/// Who answers.
#[derive(Debug)]
pub(super) enum Source {
    /// Real providers, at their official hosts.
    Official(Vec<Account>),
    /// A real, small model on this machine.
    SmallModel(SmallModel),
    /// The simulated provider.
    Simulated {
        /// The model to ask for.
        model: String,
        /// Why not the small model.
        because: &'static str,
    },
}

impl Source {
    /// Looks at the environment. `model` replaces the default of a provider.
    pub(super) fn choose(model: Option<&str>) -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::choose_from(model, &variable)
    }

    fn choose_from(
        model: Option<&str>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let mut accounts = Vec::new();
        for (provider, name, default) in [
            (Provider::OpenAi, "OPENAI_API_KEY", "gpt-4o-mini"),
            (Provider::Anthropic, "ANTHROPIC_API_KEY", "claude-haiku-4-5"),
            (Provider::DeepSeek, "DEEPSEEK_API_KEY", "deepseek-flash"),
        ] {
            if let Some(secret) = variable(name) {
                accounts.push(Account {
                    provider,
                    model: model.unwrap_or(default).to_owned(),
                    secret: Secret(secret),
                    words: Vec::new(),
                });
            }
        }
        accounts.extend(azure(variable)?);
        if !accounts.is_empty() {
            return Ok(Self::Official(accounts));
        }
        let pair = (variable("WEFT_DEMO_PYTHON"), variable("WEFT_DEMO_MODEL_SERVER"));
        Ok(match pair {
            (Some(python), Some(script)) => {
                Self::SmallModel(SmallModel { python: python.into(), script: script.into() })
            }
            (_, _) => Self::Simulated {
                model: model.unwrap_or(SIMULATED_MODEL).to_owned(),
                because: "the small model is not installed (`make run` installs it)",
            },
        })
    }
}

fn azure(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<Account>> {
    let Some(secret) = variable("AZURE_OPENAI_API_KEY") else {
        return Ok(None);
    };
    let endpoint = variable("AZURE_OPENAI_ENDPOINT").context(
        "AZURE_OPENAI_API_KEY is set without AZURE_OPENAI_ENDPOINT, such as https://NAME.openai.azure.com",
    )?;
    let site =
        endpoint.strip_prefix("https://").unwrap_or(&endpoint).trim_end_matches('/').to_owned();
    // An Azure deployment has the name that its owner gave it; many give the model's.
    let model = variable("AZURE_OPENAI_DEPLOYMENT").unwrap_or_else(|| "gpt-4o-mini".to_owned());
    let words =
        vec!["--site".to_owned(), site, "--deployment".to_owned(), format!("{model}={model}")];
    Ok(Some(Account { provider: Provider::Azure, model, secret: Secret(secret), words }))
}

/// Accounts for `dialects` that are all spoken at `url`, and the words by which an agent finds it.
pub(super) fn on_this_machine(
    url: &str,
    model: &str,
    dialects: &[Provider],
) -> (Vec<Account>, Vec<String>) {
    let accounts = dialects.iter().map(|provider| Account {
        provider: *provider,
        model: model.to_owned(),
        secret: Secret(NO_KEY.to_owned()),
        words: Vec::new(),
    });
    let words = dialects
        .iter()
        .flat_map(|provider| ["--simulate".to_owned(), format!("{}={url}", provider.name())]);
    (accounts.collect(), words.collect())
}

/// The line that the small model's server prints once it answers.
#[derive(Deserialize)]
struct Ready {
    url: String,
    model: String,
}

impl SmallModel {
    /// Starts it; returns its process, its address and its model's name.
    pub(super) async fn start(&self, log: &Path) -> Result<(Process, String, String), MeshError> {
        let mut serve = command(&self.python);
        serve.arg(&self.script).arg("0");
        let mut process = Process::start_held("the small model", serve, log)?;
        let ready = process
            .until("its answer", MODEL_READY_MAX, async || {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let mut lines = text.lines();
                Ok(lines.find_map(|line| serde_json::from_str::<Ready>(line).ok()))
            })
            .await?;
        Ok((process, ready.url, ready.model))
    }
}

/// Starts the simulated provider as `program provider`; returns its process and its address.
pub(super) async fn start_simulated(
    program: &Path,
    log: &Path,
) -> Result<(Process, String), MeshError> {
    let mut serve = command(program);
    // A pace at which a person can read along.
    serve.args(["provider", "--listen", "127.0.0.1:0", "--pace-ms", "40", "--deltas", "40"]);
    let mut process = Process::start("the simulated provider", serve, log)?;
    let url = process
        .until("its address", SIMULATED_READY_MAX, async || Ok(address_in(&tail(log))))
        .await?;
    Ok((process, url))
}

/// The first loopback URL in a log.
fn address_in(text: &str) -> Option<String> {
    let at = text.find("http://127.0.0.1:")?;
    let rest = &text[at..];
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || ":/.".contains(c)))
        .unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(variables: &[(&str, &str)]) -> anyhow::Result<Source> {
        let variables: Vec<_> = variables.to_vec();
        Source::choose_from(None, &move |name| {
            let mut found = variables.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_key_in_the_environment_chooses_the_real_provider() {
        let Source::Official(accounts) = choose(&[
            ("OPENAI_API_KEY", "sk-a"),
            ("AZURE_OPENAI_API_KEY", "b"),
            ("AZURE_OPENAI_ENDPOINT", "https://res.openai.azure.com/"),
            ("AZURE_OPENAI_DEPLOYMENT", "chat"),
            ("WEFT_DEMO_PYTHON", "python"),
        ])
        .unwrap() else {
            panic!("official")
        };
        assert_eq!(accounts[0].provider, Provider::OpenAi);
        assert_eq!(
            accounts[1].words,
            ["--site", "res.openai.azure.com", "--deployment", "chat=chat"]
        );
        assert!(!format!("{accounts:?}").contains("sk-a"));
        assert!(choose(&[("AZURE_OPENAI_API_KEY", "b")]).is_err());
    }

    #[test]
    fn without_a_key_the_small_model_answers_and_else_the_simulated_provider() {
        let model = [("WEFT_DEMO_PYTHON", "python"), ("WEFT_DEMO_MODEL_SERVER", "serve.py")];
        assert!(matches!(choose(&model).unwrap(), Source::SmallModel(_)));
        assert!(matches!(choose(&[]).unwrap(), Source::Simulated { .. }));
    }

    #[test]
    fn the_address_is_found_in_a_coloured_log() {
        let log = "\u{1b}[3murl\u{1b}[0m=\"http://127.0.0.1:4010\" \u{1b}[0m\n";
        assert_eq!(address_in(log).as_deref(), Some("http://127.0.0.1:4010"));
        assert_eq!(address_in("nothing"), None);
    }
}
