//! A learned policy or a servo at the gripper: it decides from what the robot's camera sees.
//!
//! The command line brings one, from a run or from a control; this room does not know networks.

use crate::contract::Policy;
use crate::tasks::TaskFactory;

/// A policy that decides from plain pictures, or from pictures and measured depth.
pub struct Pilot {
    /// Words that name it: the run and its step.
    pub name: String,
    /// Edge of the pictures that it wants, pixels.
    pub size: u32,
    /// It wants measured depth beside the picture.
    pub depth: bool,
    /// It is a control that knows the renderer's classes.
    pub classes: bool,
    /// It says what visual servoing sees.
    pub servos: bool,
    /// Ticks of physics between two of its pictures, where steps are shorter.
    pub rest_ticks: u32,
    /// The task that its actions are for, where it is not the cell's usual one.
    pub task: Option<TaskFactory>,
    pub policy: Box<dyn PilotPolicy + Send>,
}

/// A policy that a person looks at.
pub trait PilotPolicy: Policy {
    /// The renderer's classes of the picture that is decided on next, `[size, size]`.
    fn set_classes(&mut self, _classes: Vec<u8>) {}

    /// What visual servoing makes of the last picture; none of a policy that does not servo.
    fn servo(&self) -> Option<ServoReading> {
        None
    }
}

/// Visual servoing at one moment, in pixels of the picture that it acted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServoReading {
    /// Words: "linear step", "converged".
    pub phase: String,
    pub state: ServoState,
    /// Pictures so far, and returns to the linear step.
    pub tick: u32,
    pub reverts: u32,
    /// Edge of the picture, pixels.
    pub size: usize,
    /// `[size, size, 3]`
    pub rgb: Vec<u8>,
    /// `[size, size]`; empty where nothing was found.
    pub mask: Vec<bool>,
    pub seen: Option<Axes>,
    pub target: Option<Axes>,
    pub errors: Vec<ServoError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServoState {
    /// Before or between servoing.
    #[default]
    Waiting,
    Servoing,
    Converged,
    /// The object was lost, or the time is over.
    Failed,
}

/// Where something lies in a picture and how: pixel indices, radians from the picture's x axis towards its y axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axes {
    pub centre: [f32; 2],
    pub angle: f32,
    /// Half the longer and half the shorter axis, pixels.
    pub half: [f32; 2],
}

/// The error of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServoError {
    /// Centroid and orientation count, and not the centroid alone.
    pub is_full: bool,
    /// From the target along the picture's axes, millimetres, and the angle, degrees; none where the object was missing.
    pub error: Option<[f32; 3]>,
}
