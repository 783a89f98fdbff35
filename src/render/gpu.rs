//! The graphics adapter: finding one, opening a device, and saying what to do when there is none.

use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What can go wrong between us and the graphics driver.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error(
        "no Vulkan, Metal or DirectX 12 adapter was found; on Debian or Ubuntu `apt-get install mesa-vulkan-drivers` \
         gives a software one, then `bingrasp doctor` checks it"
    )]
    NoAdapter,
    #[error("no adapter's name contains '{wanted}'; found: {found}; change or unset BINGRASP_ADAPTER")]
    AdapterNotFound { wanted: String, found: String },
    #[error(
        "the adapter '{adapter}' gave no device: {message}; update its driver or choose another with BINGRASP_ADAPTER"
    )]
    Device { adapter: String, message: String },
    #[error(
        "the graphics device was lost or failed ({0}); run `bingrasp doctor`, and resume the command with --resume"
    )]
    Lost(String),
    #[error(
        "the graphics device did not answer for {0} s; run `bingrasp doctor`, and resume the command with --resume"
    )]
    TimeOut(u64),
    #[error(
        "{what} needs a {needed} pixel wide picture, but '{adapter}' allows {limit}; use fewer environments or a smaller size"
    )]
    TooLarge { what: String, needed: u32, adapter: String, limit: u32 },
}

/// The adapter in words, for benchmarks and `doctor`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterDescription {
    pub name: String,
    pub backend: String,
    pub driver: String,
    /// A CPU implementation (lavapipe, WARP).
    pub software: bool,
}

/// An open device. Cheap to clone; clones share the device.
#[derive(Clone)]
pub struct Gpu {
    pub instance: wgpu::Instance,
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub description: AdapterDescription,
    failure: Arc<Failure>,
}

#[derive(Default)]
struct Failure {
    failed: AtomicBool,
    message: std::sync::Mutex<String>,
}

impl Gpu {
    /// Opens the best adapter: discrete, then integrated, virtual, software. `BINGRASP_ADAPTER` (part of a name, any
    /// case) picks another.
    ///
    /// # Errors
    /// [`RenderError::NoAdapter`] and its siblings; never panics for want of a driver.
    pub fn open() -> Result<Self, RenderError> {
        Self::open_named(std::env::var("BINGRASP_ADAPTER").ok().as_deref())
    }

    pub fn open_named(wanted: Option<&str>) -> Result<Self, RenderError> {
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags: wgpu::InstanceFlags::empty(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = bevy::tasks::block_on(instance.enumerate_adapters(backends));
        if adapters.is_empty() {
            return Err(RenderError::NoAdapter);
        }
        if let Some(wanted) = wanted.filter(|w| !w.is_empty()) {
            let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
            adapters.retain(|a| a.get_info().name.to_lowercase().contains(&wanted.to_lowercase()));
            if adapters.is_empty() {
                return Err(RenderError::AdapterNotFound { wanted: wanted.to_owned(), found: names.join(", ") });
            }
        }
        let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        adapters.sort_by_key(rank);
        let adapter = adapters.swap_remove(0);
        Self::from_adapter(instance, adapter)
    }

    fn from_adapter(instance: wgpu::Instance, adapter: wgpu::Adapter) -> Result<Self, RenderError> {
        let info = adapter.get_info();
        let description = AdapterDescription {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            software: info.device_type == wgpu::DeviceType::Cpu,
        };
        let offered = adapter.features();
        let request = bevy::tasks::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("bingrasp"),
            required_features: offered
                & (wgpu::Features::CLIP_DISTANCES | wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        }));
        let (device, queue) =
            request.map_err(|error| RenderError::Device { adapter: info.name.clone(), message: error.to_string() })?;
        let failure = Arc::new(Failure::default());
        let on_lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device also ends here, which is no failure.
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_lost.set(format!("{reason:?}: {message}"));
            }
        });
        let on_error = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error.set(error.to_string())));
        Ok(Self { instance, adapter, device, queue, description, failure })
    }

    /// # Errors
    /// The first failure that the device reported since it was opened.
    pub fn check(&self) -> Result<(), RenderError> {
        if self.failure.failed.load(Ordering::Acquire) {
            let message = self.failure.message.lock().map(|m| m.clone()).unwrap_or_default();
            return Err(RenderError::Lost(message));
        }
        Ok(())
    }
}

impl Failure {
    fn set(&self, text: String) {
        if !self.failed.swap(true, Ordering::AcqRel)
            && let Ok(mut message) = self.message.lock()
        {
            *message = text;
        }
    }
}
