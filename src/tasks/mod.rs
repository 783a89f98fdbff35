//! What an episode is: how actions become motions, what is rewarded, when it ends.

pub mod pose_reward;
