//! What a person sees of the demo. Plain text, no colours: it is as readable in a log.

use super::source::{Account, Source};
use super::stream::chat_path;
use crate::mesh::Hub;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use weft_proto::provider::Provider;

/// Standard output.
pub(super) struct Screen(io::Stdout);

impl Screen {
    pub(super) fn new() -> Self {
        Self(io::stdout())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.0, "{text}")
    }

    /// A row of the table at the top: a word and what it is about.
    fn row(&mut self, word: &str, text: &str) -> io::Result<()> {
        self.line(&format!("  {word:<10}{text}"))
    }

    pub(super) fn source(&mut self, source: &Source, home: &Path) -> io::Result<()> {
        self.line("\nWeft: one completion across a mesh, on this machine\n")?;
        match source {
            Source::Official(accounts) => {
                let names: Vec<_> =
                    accounts.iter().map(|account| account.provider.name()).collect();
                let text =
                    format!("the real {}, by the keys in your environment", names.join(", "));
                self.row("provider", &text)?;
            }
            Source::SmallModel(_) => {
                self.row(
                    "provider",
                    "a real small model on this machine (SmolLM2, 135 M parameters):",
                )?;
                self.row("", "no provider key is set. With OPENAI_API_KEY, ANTHROPIC_API_KEY,")?;
                self.row("", "DEEPSEEK_API_KEY or the Azure pair it is the real provider")?;
            }
            Source::Simulated { because, .. } => {
                self.row("provider", "SIMULATED: the text below is made up, no model is asked.")?;
                self.row("", &format!("No provider key is set, and {because}"))?;
            }
        }
        self.row("files", &home.display().to_string())?;
        self.row("logs", "hub.log, agent.log and others in there")
    }

    pub(super) fn moved(&mut self, taken: &[u16]) -> io::Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        let ports: Vec<String> = taken.iter().map(ToString::to_string).collect();
        let text = format!("{} in use by something else: others are taken", ports.join(", "));
        self.row("ports", &text)
    }

    pub(super) fn hub(&mut self, hub: &Hub) -> io::Result<()> {
        let text = format!(
            "users {} (HTTPS), agents {} (QUIC), admin {}",
            hub.users(),
            hub.agents(),
            hub.addresses().admin
        );
        self.row("hub", &text)
    }

    pub(super) fn agent(&mut self, program: &Path, accounts: &[Account]) -> io::Result<()> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let names: Vec<_> = accounts.iter().map(|account| account.provider.name()).collect();
        let text = format!(
            "{name} joined by an invite; it alone has the keys, it listens nowhere ({})",
            names.join(", ")
        );
        self.row("agent", &text)
    }

    pub(super) fn asked(&mut self, prompt: &str) -> io::Result<()> {
        self.line(&format!("\n> {prompt}\n"))
    }

    /// Shows text as it comes. Control characters of a model do not reach the terminal.
    pub(super) fn token(&mut self, text: &str) -> io::Result<()> {
        let shown: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        self.0.write_all(shown.as_bytes())?;
        self.0.flush()
    }

    pub(super) fn answered(
        &mut self,
        count: u64,
        bytes: u64,
        first: Duration,
        all: Duration,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(count > 0, "the answer was empty");
        self.line(&format!(
            "\n\n  {count} pieces of text ({bytes} bytes) in {:.1} s, the first after {} ms, over {}",
            all.as_secs_f64(),
            first.as_millis(),
            "HTTPS to the hub, QUIC to the agent, HTTP to the provider"
        ))?;
        Ok(())
    }

    pub(super) fn cost(&mut self, cost: &str, balance: &str) -> io::Result<()> {
        self.line(&format!(
            "  it cost {cost} USD by the hub's price book; its user has {balance} USD left"
        ))
    }

    pub(super) fn usage(
        &mut self,
        users: SocketAddr,
        ca: &Path,
        key: &str,
        accounts: &[Account],
    ) -> io::Result<()> {
        let base = format!("https://localhost:{}", users.port());
        let ca = ca.display();
        self.line("\nUse it while this runs (Ctrl-C ends it):\n")?;
        self.row("base URL", &format!("{base}/v1"))?;
        self.row("key", key)?;
        self.row("CA", &ca.to_string())?;
        if let Some(first) = accounts.first() {
            self.curl(&base, &ca.to_string(), key, first)?;
        }
        let has = |provider| accounts.iter().find(|account| account.provider == provider);
        self.line(&format!(
            "\n  # Python takes the CA from SSL_CERT_FILE, Node from NODE_EXTRA_CA_CERTS:\n  \
             export SSL_CERT_FILE={ca} NODE_EXTRA_CA_CERTS={ca}"
        ))?;
        let openai = has(Provider::OpenAi).or_else(|| has(Provider::DeepSeek));
        if let Some(Account { model, .. }) = openai {
            self.line(&format!(
                "\n  from openai import OpenAI\n  \
                 client = OpenAI(base_url=\"{base}/v1\", api_key=\"{key}\")\n  \
                 print(client.chat.completions.create(model=\"{model}\", messages=[{{\"role\": \"user\", \"content\": \"Hi\"}}]))"
            ))?;
        }
        if let Some(Account { model, .. }) = has(Provider::Azure) {
            self.line(&format!(
                "\n  from openai import AzureOpenAI\n  \
                 client = AzureOpenAI(azure_endpoint=\"{base}\", api_key=\"{key}\", api_version=\"2024-10-21\")\n  \
                 print(client.chat.completions.create(model=\"{model}\", messages=[{{\"role\": \"user\", \"content\": \"Hi\"}}]))"
            ))?;
        }
        if let Some(Account { model, .. }) = has(Provider::Anthropic) {
            self.line(&format!(
                "\n  from anthropic import Anthropic\n  \
                 client = Anthropic(base_url=\"{base}\", api_key=\"{key}\")\n  \
                 print(client.messages.create(model=\"{model}\", max_tokens=64, messages=[{{\"role\": \"user\", \"content\": \"Hi\"}}]))"
            ))?;
        }
        self.line("")?;
        self.0.flush()
    }

    fn curl(&mut self, base: &str, ca: &str, key: &str, account: &Account) -> io::Result<()> {
        let (path, _) = chat_path(account);
        let credential = match account.provider {
            Provider::OpenAi | Provider::DeepSeek => format!("-H 'authorization: Bearer {key}'"),
            Provider::Azure => format!("-H 'api-key: {key}'"),
            Provider::Anthropic => {
                format!("-H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01'")
            }
        };
        self.line(&format!(
            "\n  curl -N --cacert {ca} \\\n    '{base}{path}' \\\n    {credential} -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"{}\",\"max_tokens\":64,\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}'",
            account.model
        ))
    }

    pub(super) fn stopping(&mut self) -> io::Result<()> {
        self.line("\n  stopping: running streams may finish; Ctrl-C once more ends them\n")
    }
}
