//! Which episode an environment plays next, and by which seed.

use crate::contract::{EpisodePlan, Rng, Seed, Start};

/// An episode to begin.
#[derive(Clone, Debug)]
pub struct EpisodeStart {
    /// Number of the episode, from 0, as its schedule counts.
    pub number: usize,
    /// Decides the episode and its looks.
    pub seed: Seed,
    /// Whether the bin is filled anew or kept as it is.
    pub start: Start,
    /// See [`crate::contract::Reset::placement`].
    pub placement: Option<usize>,
    /// The random numbers of the environment's script; none: it goes on with those it has.
    pub script: Option<Rng>,
}

/// How an environment's last episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeEnd {
    /// Number of the episode that ended, as its schedule counts.
    pub number: usize,
    /// The simulation cut it off.
    pub invalid: bool,
}

/// Says what an environment plays next.
pub trait Schedule {
    /// The next episode of environment `index`, whose last one is `ended`; none when there is none left for it.
    fn next(&mut self, index: usize, ended: Option<EpisodeEnd>) -> Option<EpisodeStart>;
}

/// The episodes of a plan, in turn.
pub struct PlanSchedule {
    plan: EpisodePlan,
    begun: usize,
}

impl PlanSchedule {
    /// The plan's episodes from number 0, each for the first environment that is free.
    pub fn new(plan: EpisodePlan) -> Self {
        Self { plan, begun: 0 }
    }
}

impl Schedule for PlanSchedule {
    fn next(&mut self, _: usize, ended: Option<EpisodeEnd>) -> Option<EpisodeStart> {
        let number = self.begun;
        if number >= self.plan.count || self.plan.should_stop.is_some_and(|should_stop| should_stop()) {
            return None;
        }
        self.begun += 1;
        let seed = self.plan.seed.derive("attempt", number as u64);
        let keeps =
            ended.is_some_and(|ended| !ended.invalid) && seed.derive("go on", 0).rng().chance(self.plan.p_keep_objects);
        let start = if keeps { Start::KeepObjects } else { Start::Fresh };
        Some(EpisodeStart { number, seed, start, placement: None, script: Some(seed.derive("script", 0).rng()) })
    }
}

/// Episodes without end, each environment for itself: any block of them can be played again alone, in any process.
pub struct BlockSchedule {
    /// Seed of the block: each episode's derives from it, the environment's number and the episode's.
    pub block: Seed,
}

impl Schedule for BlockSchedule {
    fn next(&mut self, index: usize, ended: Option<EpisodeEnd>) -> Option<EpisodeStart> {
        let number = ended.map_or(0, |ended| ended.number + 1);
        let seed = self.block.derive("environment", index as u64).derive("episode", number as u64);
        let script = (number == 0).then(|| self.block.derive("policy", index as u64).rng());
        Some(EpisodeStart { number, seed, start: Start::Fresh, placement: None, script })
    }
}

/// Sets of objects, several episodes on each (RCAN, section 5.1): what was grasped goes back to a random place. Episodes are
/// numbered by set, then within it.
pub struct SetSchedule {
    seed: Seed,
    count: usize,
    per_set: usize,
    sets: usize,
}

impl SetSchedule {
    /// `count` episodes, `per_set` on each set.
    pub fn new(seed: Seed, count: usize, per_set: usize) -> Self {
        Self { seed, count, per_set: per_set.max(1), sets: 0 }
    }

    /// Sets of objects that this many episodes take.
    pub fn num_sets(count: usize, per_set: usize) -> usize {
        count.div_ceil(per_set.max(1))
    }
}

impl Schedule for SetSchedule {
    fn next(&mut self, _: usize, ended: Option<EpisodeEnd>) -> Option<EpisodeStart> {
        if let Some(ended) = ended
            && let number = ended.number + 1
            && number < self.count
            && number % self.per_set > 0
        {
            let set = self.seed.derive("set", (number / self.per_set) as u64);
            let next = next_attempt(set, number, (number % self.per_set) as u64);
            if !ended.invalid {
                return Some(next);
            }
            // What the simulation broke does not mend by itself: the set begins anew.
            let (placement, script) = (Some(number / self.per_set), Some(next.seed.derive("policy", 0).rng()));
            return Some(EpisodeStart { seed: set, start: Start::Fresh, placement, script, ..next });
        }
        let number = self.sets * self.per_set;
        if number >= self.count {
            return None;
        }
        let seed = self.seed.derive("set", self.sets as u64);
        self.sets += 1;
        let (placement, script) = (Some(number / self.per_set), Some(seed.derive("policy", 0).rng()));
        Some(EpisodeStart { number, seed, start: Start::Fresh, placement, script })
    }
}

/// Episode `attempt` (from 1) on the objects of a set.
fn next_attempt(set: Seed, number: usize, attempt: u64) -> EpisodeStart {
    EpisodeStart {
        number,
        seed: set.derive("attempt", attempt),
        start: Start::KeepObjects,
        placement: None,
        script: None,
    }
}

/// One set of objects without end: what a person watches. The same as the set of that seed in an evaluation.
pub struct OneSetSchedule {
    /// Seed of the set: decides its objects, their first places and every attempt on them.
    pub set: Seed,
}

impl Schedule for OneSetSchedule {
    fn next(&mut self, _: usize, ended: Option<EpisodeEnd>) -> Option<EpisodeStart> {
        Some(match ended {
            Some(ended) => next_attempt(self.set, ended.number + 1, ended.number as u64 + 1),
            None => EpisodeStart {
                number: 0,
                seed: self.set,
                start: Start::Fresh,
                placement: None,
                script: Some(self.set.derive("policy", 0).rng()),
            },
        })
    }
}
