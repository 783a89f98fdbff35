//! The device that tensors live on, as a setting: `cpu`, `cuda:N` or `metal`.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Where state is read, written and computed with in plain floats: the processor itself.
pub const HOST: Device = Device::Cpu;

/// The device of a run, before it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceSpec {
    /// The processor, with our own kernels.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The text, which is in the variant, names no kind of device.
    #[error("'{0}' is no device; give cpu, cuda:N (cuda:0 is the first NVIDIA GPU) or metal")]
    Unknown(String),
    /// This build lacks the Cargo feature that the device needs.
    #[error(
        "the device '{spec}' needs a build with the feature '{feature}', and this program was built without it; build it \
         with `cargo build --release --features {feature}`, or use --device cpu"
    )]
    NotBuilt {
        /// The device that was asked for.
        spec: DeviceSpec,
        /// Cargo feature to build with: `cuda` or `metal`.
        feature: &'static str,
    },
    /// The build supports the device, but it cannot be opened: there is none of this number, or its driver fails.
    #[error("the device '{spec}' cannot be opened: {reason}; see that its driver works, or use --device cpu")]
    Open {
        /// The device that was asked for.
        spec: DeviceSpec,
        /// The message of the driver or of candle.
        reason: String,
    },
}

impl DeviceSpec {
    /// Opens the device.
    ///
    /// # Errors
    /// A build without support for it, no such device, a driver that fails.
    pub fn open(self) -> Result<Device, DeviceError> {
        self.check()?;
        let opened = match self {
            Self::Cpu => return Ok(HOST),
            Self::Cuda(index) => Device::new_cuda(index),
            Self::Metal => Device::new_metal(0),
        };
        opened.map_err(|error| DeviceError::Open { spec: self, reason: error.to_string() })
    }

    /// Whether this build can open such a device at all.
    fn check(self) -> Result<Self, DeviceError> {
        let (built, feature) = match self {
            Self::Cpu => return Ok(self),
            Self::Cuda(_) => (candle_core::utils::cuda_is_available(), "cuda"),
            Self::Metal => (candle_core::utils::metal_is_available(), "metal"),
        };
        if built { Ok(self) } else { Err(DeviceError::NotBuilt { spec: self, feature }) }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    /// # Errors
    /// No name of a device; a device that this build has no support for.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let spec = match text {
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda(0),
            "metal" => Self::Metal,
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(index)) => Self::Cuda(index),
                _ => return Err(DeviceError::Unknown(text.to_owned())),
            },
        };
        spec.check()
    }
}

impl TryFrom<String> for DeviceSpec {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceSpec> for String {
    fn from(spec: DeviceSpec) -> Self {
        spec.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_round_and_what_is_no_device_is_said() {
        assert!(matches!("cpu".parse::<DeviceSpec>(), Ok(DeviceSpec::Cpu)));
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let message = bad.parse::<DeviceSpec>().map_or_else(|error| error.to_string(), |spec| spec.to_string());
            assert!(message.contains("cuda:N"), "{message}");
        }
        assert_eq!(DeviceSpec::Cuda(3).to_string(), "cuda:3");
        assert!(DeviceSpec::Cpu.open().is_ok_and(|device| device.is_cpu()));
    }

    #[test]
    fn a_device_that_was_not_built_in_names_its_feature() {
        for (name, feature, built) in [
            ("cuda:0", "cuda", candle_core::utils::cuda_is_available()),
            ("metal", "metal", candle_core::utils::metal_is_available()),
        ] {
            if !built {
                let message = name.parse::<DeviceSpec>().map_or_else(|error| error.to_string(), |_| String::new());
                assert!(message.contains(&format!("--features {feature}")) && message.contains(name), "{message}");
            }
        }
    }
}
