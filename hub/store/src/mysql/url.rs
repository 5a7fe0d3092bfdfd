//! Where the database is and who asks: `mysql://user:password@host:port/database`.
//!
//! # Invariants
//! - The password is in no `Debug`, `Display` or serialised form.
//! - A parameter that nobody knows is an error: a mistyped `ssl-mode` would be plain text.
//! - Over a network the server shows a certificate for its name, unless the URL says otherwise.

use serde::{Deserialize, Serialize, Serializer};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What the URL begins with.
pub const SCHEME: &str = "mysql://";

/// The longest URL, bytes.
const URL_BYTES_MAX: usize = 2_048;

/// The parameters that may follow the `?`.
const PARAMETERS: [&str; 5] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

/// A database on a server, and how to be let in.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct MysqlUrl {
    options: Box<MySqlConnectOptions>,
}

/// Why a text is no [`MysqlUrl`]. Says nothing of what the text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMysqlUrl {
    /// It does not begin with `mysql://`, or cannot be read from there.
    #[error("must be mysql://user:password@host:port/database; \"%40\" is an @ in a password")]
    Form,
    /// It names no database.
    #[error("must name a database: mysql://user:password@host:port/database")]
    NoDatabase,
    /// It has a parameter that does not exist, or a value that the parameter does not take.
    #[error(
        "takes the parameters ssl-mode (disabled, preferred, required, verify_ca, verify_identity), ssl-ca, ssl-cert, ssl-key and socket"
    )]
    Parameter,
}

impl MysqlUrl {
    /// What the driver is given.
    pub(super) fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::clone(&self.options)
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_default()
    }
}

impl FromStr for MysqlUrl {
    type Err = InvalidMysqlUrl;

    fn from_str(text: &str) -> Result<Self, InvalidMysqlUrl> {
        if !text.starts_with(SCHEME) || text.len() > URL_BYTES_MAX {
            return Err(InvalidMysqlUrl::Form);
        }
        let (_, parameters) = text.split_once('?').unwrap_or((text, ""));
        let names = || {
            let each = parameters.split('&').filter(|one| !one.is_empty());
            each.map(|one| one.split_once('=').map_or(one, |(name, _)| name))
        };
        if names().any(|name| !PARAMETERS.contains(&name)) {
            return Err(InvalidMysqlUrl::Parameter);
        }
        let mut options = text.parse::<MySqlConnectOptions>().map_err(|_| {
            if parameters.is_empty() { InvalidMysqlUrl::Form } else { InvalidMysqlUrl::Parameter }
        })?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(InvalidMysqlUrl::NoDatabase);
        }
        if !names().any(|name| name == "ssl-mode") {
            let here = options.get_socket().is_some() || is_this_machine(options.get_host());
            options = options.ssl_mode(if here {
                MySqlSslMode::Preferred
            } else {
                MySqlSslMode::VerifyIdentity
            });
        }
        Ok(Self { options: Box::new(options) })
    }
}

/// Whether what is sent there stays inside the machine.
fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl TryFrom<String> for MysqlUrl {
    type Error = InvalidMysqlUrl;

    fn try_from(text: String) -> Result<Self, InvalidMysqlUrl> {
        text.parse()
    }
}

/// The URL without its password and parameters.
impl fmt::Display for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (self.options.get_username(), self.options.get_host());
        write!(f, "{SCHEME}{user}@{host}:{}/{}", self.options.get_port(), self.database())
    }
}

impl fmt::Debug for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MysqlUrl({self})")
    }
}

impl Serialize for MysqlUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl_mode(text: &str) -> MySqlSslMode {
        text.parse::<MysqlUrl>().expect("a URL").options.get_ssl_mode()
    }

    #[test]
    fn the_password_is_shown_nowhere() {
        let text = "mysql://weft:hunter%402@db.example:3307/hub?ssl-mode=required";
        let url: MysqlUrl = text.parse().expect("a URL");
        assert_eq!(url.to_string(), "mysql://weft@db.example:3307/hub");
        let json = serde_json::to_string(&url).expect("json");
        for shown in [format!("{url:?}"), json] {
            assert!(!shown.contains("hunter"), "{shown}");
        }
        for bad in ["postgres://u:hunter2@h/d", "mysql://u:hunter2@h", "mysql://u:hunter2@h:x/d"] {
            let refused = bad.parse::<MysqlUrl>().expect_err("refused");
            assert!(!format!("{refused} {refused:?}").contains("hunter"), "{refused}");
        }
    }

    #[test]
    fn what_is_left_out_or_mistyped_is_an_error() {
        for (bad, why) in [
            ("", InvalidMysqlUrl::Form),
            ("hub.sqlite", InvalidMysqlUrl::Form),
            ("mysql://", InvalidMysqlUrl::NoDatabase),
            ("mysql://u:p@h:x/hub", InvalidMysqlUrl::Form),
            ("mysql://localhost", InvalidMysqlUrl::NoDatabase),
            ("mysql://localhost/", InvalidMysqlUrl::NoDatabase),
            ("mysql://localhost/hub?ssl-mod=required", InvalidMysqlUrl::Parameter),
            ("mysql://localhost/hub?ssl-mode=maybe", InvalidMysqlUrl::Parameter),
            ("mysql://localhost/hub?charset=latin1", InvalidMysqlUrl::Parameter),
        ] {
            assert_eq!(bad.parse::<MysqlUrl>().err(), Some(why), "{bad:?}");
        }
    }

    #[test]
    fn a_server_elsewhere_must_show_who_it_is_unless_the_url_says_otherwise() {
        for here in ["localhost", "127.0.0.1:3306", "[::1]:3306"] {
            let mode = ssl_mode(&format!("mysql://u:p@{here}/hub"));
            assert!(matches!(mode, MySqlSslMode::Preferred), "{here}: {mode:?}");
        }
        for elsewhere in ["db.example", "10.0.0.7:3306", "localhost.example"] {
            let mode = ssl_mode(&format!("mysql://u:p@{elsewhere}/hub"));
            assert!(matches!(mode, MySqlSslMode::VerifyIdentity), "{elsewhere}: {mode:?}");
            let told = ssl_mode(&format!("mysql://u:p@{elsewhere}/hub?ssl-mode=disabled"));
            assert!(matches!(told, MySqlSslMode::Disabled), "{elsewhere}: {told:?}");
        }
    }
}
