//! How objects are put down: resting poses in which jaws can take them from above. In: an object, jaws. Out: some of its
//! stable poses, most probable first; computed once for an object.

use super::grasp::{Jaws, StablePose, stable_poses, top_down_grasp};
use super::model::ObjectModel;
use crate::contract::Rng;
use std::sync::OnceLock;

/// Resting poses that are looked at, most probable first: round things have one for every facet.
const MAX_RESTS: usize = 6;

/// The answer for the jaws that were asked about first. It takes no part in comparisons, nor in digests, which are made of
/// what objects print: it prints as if nothing had been asked.
#[derive(Clone, Default)]
pub struct RestCache(OnceLock<(Jaws, Vec<StablePose>)>);

impl std::fmt::Debug for RestCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RestCache(OnceLock(<uninit>))")
    }
}

impl PartialEq for RestCache {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl ObjectModel {
    /// The object's most probable resting poses that offer the jaws a grasp from above; the most probable one of all where
    /// none does. Empty for a body that rests in no pose.
    pub fn graspable_rests(&self, jaws: &Jaws) -> Vec<StablePose> {
        let (known_jaws, known) = self.rests.0.get_or_init(|| (*jaws, self.search_rests(jaws)));
        if known_jaws == jaws { known.clone() } else { self.search_rests(jaws) }
    }

    fn search_rests(&self, jaws: &Jaws) -> Vec<StablePose> {
        let solids = self.solids();
        let all = stable_poses(&solids);
        let offers = |pose: &&StablePose| top_down_grasp(&solids, pose, jaws, Some(jaws.max_opening_m)).is_some();
        let graspable: Vec<StablePose> = all.iter().take(MAX_RESTS).filter(offers).copied().collect();
        if graspable.is_empty() { all.into_iter().take(1).collect() } else { graspable }
    }
}

/// One of `rests` at random, each as often as the object comes to rest in it.
pub fn draw_rest(rests: &[StablePose], rng: &mut Rng) -> Option<StablePose> {
    let total: f32 = rests.iter().map(|rest| rest.probability).sum();
    let mut left = rng.f32() * total;
    rests
        .iter()
        .find(|rest| {
            left -= rest.probability;
            left < 0.0
        })
        .or(rests.last())
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::objects::ObjectSet;

    #[test]
    fn a_sugar_box_is_put_down_on_a_narrow_side_and_a_can_both_ways() {
        let set = ObjectSet::ycb().expect("ten solids");
        let jaws = Jaws { max_opening_m: 0.074, reach_m: 0.08, ..Jaws::default() };
        let find = |name: &str| set.objects().iter().find(|object| object.name == name).expect(name);
        // 38 x 89 x 175 mm: on its largest side it is 89 mm wide and cannot be taken.
        let sugar = find("004_sugar_box").graspable_rests(&jaws);
        assert!(!sugar.is_empty() && sugar.iter().all(|rest| rest.height_m > 0.04), "{sugar:?}");
        let can = find("005_tomato_soup_can").graspable_rests(&jaws);
        let standing = |rest: &&StablePose| (rest.world_from_body * glam::Vec3::Z).z.abs() > 0.99;
        assert!(can.iter().any(|rest| standing(&rest)) && can.iter().any(|rest| !standing(&rest)), "{can:?}");
        // Twice the same, and another answer for other jaws.
        assert_eq!(find("004_sugar_box").graspable_rests(&jaws), sugar);
        let wide = Jaws { max_opening_m: 0.1, ..jaws };
        assert_ne!(find("004_sugar_box").graspable_rests(&wide), sugar);
    }

    #[test]
    fn rests_are_drawn_by_their_probability() {
        let pose =
            |probability| StablePose { world_from_body: glam::Quat::IDENTITY, height_m: probability, probability };
        let rests = [pose(0.3), pose(0.1)];
        let mut rng = Seed(2).rng();
        let first = (0..4000).filter(|_| draw_rest(&rests, &mut rng) == Some(rests[0])).count();
        assert!((2900..3100).contains(&first), "{first} of 4000");
        assert_eq!(draw_rest(&[], &mut rng), None);
    }
}
