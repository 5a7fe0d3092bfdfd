//! Where the binaries are: beside each other, as cargo leaves them and as packages install them.

use super::MeshError;
use std::path::{Path, PathBuf};

/// The folder with the binaries of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The binaries beside `executable`.
    ///
    /// # Errors
    /// [`MeshError::Missing`] names the first that is not there.
    pub fn beside(executable: &Path) -> Result<Self, MeshError> {
        let folder = executable.parent().unwrap_or_else(|| Path::new("."));
        let binaries = Self(folder.to_owned());
        for path in [binaries.hub(), binaries.agent(), binaries.agent_sim()] {
            if !path.is_file() {
                return Err(MeshError::Missing { path });
            }
        }
        Ok(binaries)
    }

    /// `weft-hub`.
    #[must_use]
    pub fn hub(&self) -> PathBuf {
        self.0.join("weft-hub")
    }

    /// `weft-agent`, which calls the official hosts alone.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.0.join("weft-agent")
    }

    /// `weft-agent-sim`, which calls simulated providers alone.
    #[must_use]
    pub fn agent_sim(&self) -> PathBuf {
        self.0.join("weft-agent-sim")
    }
}
