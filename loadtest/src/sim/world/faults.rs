//! What is done to a world: paths that break, machines that stop, die and lose their power; and how
//! all of it is mended.
//!
//! A machine whose power goes is failing first: for a while its disk takes nothing of what is written.
//! An agent is not heard while that lasts, because it speaks only of what its disk has taken.

use super::super::machine::Stood;
use super::super::net::{HUB, PROVIDER};
use super::super::plan::Fault;
use super::super::power::Cut;
use super::super::till::LEDGER_DIR;
use super::World;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// What a machine is doing, as far as the faults are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Up,
    /// Asked to stop; started again so long after it has.
    Draining(Duration),
    /// Started again at this moment.
    Down(Duration),
    /// Its disk takes nothing any more, and its power goes at this moment.
    Failing {
        at: Duration,
        lasts: Duration,
    },
}

impl World<'_> {
    /// Does to the world what the plan says.
    pub(super) fn inflict(&mut self, fault: Fault) {
        let now = self.sim.elapsed();
        self.trace.event_at(now, "world", format_args!("{fault:?}"));
        match fault {
            Fault::Partition { agent, lasts } => {
                self.sim.partition(HUB, self.agents[agent].name.as_str());
                self.broken.push((now + lasts, fault));
            }
            Fault::OneWay { agent, from_hub, lasts } => {
                let agent = self.agents[agent].name.as_str();
                let (from, to) = if from_hub { (HUB, agent) } else { (agent, HUB) };
                self.sim.partition_oneway(from, to);
                self.broken.push((now + lasts, fault));
            }
            Fault::CrashAgent { agent, lasts, power } => {
                self.dies(&self.agents[agent].name.clone(), lasts, power);
            }
            Fault::CrashProvider { lasts } => self.crash(PROVIDER, lasts),
            Fault::CrashHub { lasts, power } => self.dies(HUB, lasts, power),
            Fault::DrainAgent { agent, lasts } => {
                let agent = Arc::clone(&self.agents[agent]);
                if self.up(&agent.name) {
                    agent.drain();
                    self.machines.insert(agent.name.clone(), Machine::Draining(lasts));
                }
            }
            Fault::DrainHub { lasts } => {
                if self.up(HUB) {
                    self.hub.drain();
                    self.machines.insert(HUB.to_owned(), Machine::Draining(lasts));
                }
            }
            Fault::Weather(sky) => self.weather.set(sky),
        }
    }

    /// A process dies, at once or, with its machine, when its disk has taken nothing for so long.
    fn dies(&mut self, name: &str, lasts: Duration, power: Option<Duration>) {
        let Some(window) = power.filter(|_| self.up(name)) else {
            return self.crash(name, lasts);
        };
        let taken = self.disk(name).map(|disk| Stood::of(&disk)).transpose();
        let Ok(Some(taken)) = taken else {
            return self.seen.wrong(format!("the disk of {name} cannot be read"));
        };
        self.taken.insert(name.to_owned(), taken);
        if name != HUB {
            // It says nothing of what its disk has not taken.
            self.sim.partition_oneway(name, HUB);
            self.sim.partition_oneway(name, PROVIDER);
        }
        let at = self.sim.elapsed() + window;
        self.machines.insert(name.to_owned(), Machine::Failing { at, lasts });
    }

    /// Where the ledger of a machine is.
    fn disk(&self, name: &str) -> Option<PathBuf> {
        if name == HUB {
            return Some(self.hub.data.join(LEDGER_DIR));
        }
        self.agents.iter().find(|agent| agent.name == name).map(|agent| agent.ledger_dir())
    }

    /// What stays on the disk of a machine when its process dies now.
    fn leaves(&mut self, name: &str) -> io::Result<Option<Stood>> {
        let Some(disk) = self.disk(name) else { return Ok(None) };
        let now = Stood::of(&disk)?;
        let Some(taken) = self.taken.remove(name) else { return Ok(Some(now)) };
        let cut = match name {
            HUB => Cut::of_journal(&taken, now, &self.power),
            _ => Cut::of_log(&taken, now, &self.power),
        };
        let mut seen = self.seen.open();
        seen.power_cuts += 1;
        seen.torn += u64::from(!cut.lost.is_empty());
        let lost = cut.lost.len();
        if name == HUB {
            seen.forgotten.push(cut.lost);
        }
        drop(seen);
        let now = self.sim.elapsed();
        self.trace.event_at(now, "world", format_args!("{name} loses some of {lost} bytes"));
        Ok(Some(cut.left))
    }

    fn crash(&mut self, name: &str, lasts: Duration) {
        if matches!(self.machines.get(name), Some(Machine::Down(_))) {
            return;
        }
        let failing = matches!(self.machines.get(name), Some(Machine::Failing { .. }));
        // Before its tasks are dropped: what they note then is of the crash.
        if name == HUB {
            self.hub.crashed();
        }
        let agent = self.agents.iter().position(|agent| agent.name == name);
        if let Some(agent) = agent {
            self.agents[agent].crashed();
        }
        let stood = self.leaves(name);
        if agent.is_some() && failing {
            // Nor is anything under way any more.
            self.sim.partition(HUB, name);
        }
        self.silenced(name, |sim| sim.crash(name));
        if let Some(agent) = agent.filter(|_| failing) {
            self.mend_path(agent);
        }
        let restored = stood.and_then(|stood| stood.map_or(Ok(()), |stood| stood.restore()));
        if let Err(error) = restored {
            self.seen.wrong(format!("the disk of {name} cannot be kept: {error}"));
        }
        let back = self.sim.elapsed() + lasts;
        self.machines.insert(name.to_owned(), Machine::Down(back));
    }

    /// Ends what runs on a machine without a last word from it. A runtime drops its tasks in an
    /// order that depends on how many others the process has had: what an agent's connections would
    /// say to the provider then would differ from run to run.
    fn silenced(&mut self, name: &str, end: impl FnOnce(&mut Sim<'_>)) {
        let agent = name != HUB && name != PROVIDER;
        if agent {
            self.sim.partition(name, PROVIDER);
        }
        end(&mut self.sim);
        if agent {
            self.sim.repair(name, PROVIDER);
        }
    }

    fn up(&self, name: &str) -> bool {
        self.machines.get(name) == Some(&Machine::Up)
    }

    /// Repairs what has been broken for long enough, or `all`.
    pub(super) fn mend(&mut self, all: bool) {
        let now = self.sim.elapsed();
        let (over, broken): (Vec<_>, Vec<_>) = std::mem::take(&mut self.broken)
            .into_iter()
            .partition(|(until, _)| all || *until <= now);
        self.broken = broken;
        let repaired: BTreeSet<usize> =
            over.iter().filter_map(|(_, fault)| fault.agent()).collect();
        for agent in repaired {
            self.trace.event_at(now, "world", format_args!("path to {agent} repaired"));
            self.mend_path(agent);
        }
        for (name, machine) in self.machines.clone() {
            let next = match machine {
                Machine::Draining(lasts) if !self.sim.is_host_running(name.as_str()) => {
                    Machine::Down(now + lasts)
                }
                Machine::Down(back) if all || back <= now => {
                    self.trace.event_at(now, "world", format_args!("{name} is back"));
                    self.silenced(&name, |sim| sim.bounce(name.as_str()));
                    Machine::Up
                }
                Machine::Failing { at, lasts } if all || at <= now => {
                    self.crash(&name, lasts);
                    continue;
                }
                Machine::Up | Machine::Draining(_) | Machine::Down(_) | Machine::Failing { .. } => {
                    continue;
                }
            };
            self.machines.insert(name, next);
        }
    }

    /// Repairs the path to an agent, as far as nothing else breaks it.
    fn mend_path(&self, agent: usize) {
        let name = self.agents[agent].name.as_str();
        self.sim.repair(HUB, name);
        for (_, fault) in self.broken.iter().filter(|(_, fault)| fault.agent() == Some(agent)) {
            match fault {
                Fault::OneWay { from_hub: true, .. } => self.sim.partition_oneway(HUB, name),
                Fault::OneWay { from_hub: false, .. } => self.sim.partition_oneway(name, HUB),
                Fault::Partition { .. } => self.sim.partition(HUB, name),
                Fault::CrashAgent { .. }
                | Fault::DrainAgent { .. }
                | Fault::CrashHub { .. }
                | Fault::DrainHub { .. }
                | Fault::CrashProvider { .. }
                | Fault::Weather(_) => {}
            }
        }
        if self.taken.contains_key(name) {
            self.sim.partition_oneway(name, HUB);
        }
    }
}

impl Fault {
    /// The agent whose path to the hub it breaks.
    const fn agent(self) -> Option<usize> {
        match self {
            Self::Partition { agent, .. } | Self::OneWay { agent, .. } => Some(agent),
            Self::CrashAgent { .. }
            | Self::DrainAgent { .. }
            | Self::CrashHub { .. }
            | Self::DrainHub { .. }
            | Self::CrashProvider { .. }
            | Self::Weather(_) => None,
        }
    }
}
