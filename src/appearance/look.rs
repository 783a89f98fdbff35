//! A look: everything about a scene's appearance that a domain decides, drawn from seeds.

use super::depth_sensor::DepthSensor;
use super::effects::CameraEffects;
use super::material::{Material, hsv, srgb_to_linear};
use super::textures::{Family, RANDOMIZED_TEXTURES, of_family, texture};
use super::{reality, reality_2};
use crate::contract::{Domain, Pose, Rng, Seed, Surface};
use glam::{Quat, Vec3};
use serde::{Deserialize, Serialize};

/// Objects with a material of their own; further ones repeat.
pub const MAX_OBJECTS: usize = 16;
/// Background pictures of `randomized-mild` (RCAN, section 5.2: "one of 6").
const MILD_BACKGROUNDS: usize = 6;

/// A positional light with a shadow, and the light that comes from everywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// Metres from the centre of the bin floor.
    pub position: Vec3,
    /// Linear irradiance of a surface that faces the light.
    pub colour: Vec3,
    /// Ambient light from above and from below.
    pub sky: Vec3,
    pub ground: Vec3,
    /// Radius of the shadow's soft edge at the bin floor, metres.
    pub softness_m: f32,
    pub exposure: f32,
}

impl Light {
    /// The one light of the canonical domain.
    pub const CANONICAL: Self = Self {
        position: Vec3::new(-0.25, 0.65, 1.35),
        colour: Vec3::splat(0.72),
        sky: Vec3::splat(0.42),
        ground: Vec3::splat(0.26),
        softness_m: 0.007,
        exposure: 1.0,
    };
}

/// Small changes of the scene's geometry as it is drawn, applied to the source and the canonical picture alike (RCAN 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jitter {
    pub arm_offset: Vec3,
    pub arm_scale: f32,
    pub tray_offset: Vec3,
    pub tray_scale: f32,
    /// Camera frame of the described camera from that of the jittered one.
    pub camera: Pose,
}

impl Jitter {
    pub const NONE: Self = Self {
        arm_offset: Vec3::ZERO,
        arm_scale: 1.0,
        tray_offset: Vec3::ZERO,
        tray_scale: 1.0,
        camera: Pose::IDENTITY,
    };
}

/// One material for every slot of the scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surfaces {
    pub floor: Material,
    pub backdrop: Material,
    pub tray: Material,
    pub divider: Material,
    pub arm: [Material; 8],
    pub gripper: Material,
    pub finger: Material,
    pub cable: Material,
    pub objects: [Material; MAX_OBJECTS],
}

impl Surfaces {
    pub fn of(&self, surface: Surface) -> &Material {
        match surface {
            Surface::Floor => &self.floor,
            Surface::Backdrop => &self.backdrop,
            Surface::Tray => &self.tray,
            Surface::Divider => &self.divider,
            Surface::ArmLink(i) => &self.arm[usize::from(i) % 8],
            Surface::Gripper => &self.gripper,
            Surface::Finger => &self.finger,
            Surface::Cable => &self.cable,
            Surface::Object(i) => &self.objects[usize::from(i) % MAX_OBJECTS],
        }
    }
}

/// One seed for each axis of randomization, so that one axis can be rolled again alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookSeeds {
    /// Textures of everything but the objects.
    pub textures: Seed,
    pub objects: Seed,
    pub light: Seed,
    pub jitter: Seed,
    pub camera: Seed,
}

impl LookSeeds {
    /// Other seeds for the same axes.
    fn derive(&self, purpose: &str) -> Self {
        let Self { textures, objects, light, jitter, camera } = *self;
        let [textures, objects, light, jitter, camera] =
            [textures, objects, light, jitter, camera].map(|seed| seed.derive(purpose, 0));
        Self { textures, objects, light, jitter, camera }
    }
}

impl From<Seed> for LookSeeds {
    fn from(seed: Seed) -> Self {
        let axis = |name| seed.derive(name, 0);
        Self {
            textures: axis("textures"),
            objects: axis("objects"),
            light: axis("light"),
            jitter: axis("jitter"),
            camera: axis("camera"),
        }
    }
}

/// Everything that a domain decides about one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub domain: Domain,
    pub surfaces: Surfaces,
    pub light: Light,
    pub jitter: Jitter,
    pub effects: CameraEffects,
    /// What measures depth; without it the true depth is measured.
    #[serde(default)]
    pub depth_sensor: Option<DepthSensor>,
    /// Cables and labels are drawn.
    pub cables: bool,
    /// The bins' own colour, sRGB, which the canonical picture keeps.
    #[serde(default)]
    pub bin_paint: Option<[u8; 3]>,
}

impl Look {
    /// The look of `domain` for `seed`. `images` is the number of layers of the user's texture set (0 for none).
    pub fn sample(domain: Domain, seed: Seed, images: usize) -> Self {
        Self::from_axes(domain, &LookSeeds::from(seed), images)
    }

    pub fn from_axes(domain: Domain, seeds: &LookSeeds, images: usize) -> Self {
        match domain {
            Domain::Canonical => canonical(seeds),
            Domain::RandomizedMild => mild(seeds, images, false),
            Domain::RandomizedMedium => mild(seeds, images, true),
            Domain::RandomizedHeavy => heavy(seeds, images),
            Domain::Reality => reality::sample(seeds),
            // The same laboratory on other days: no look of one is ever drawn in the other.
            Domain::RealityDev => Look { domain, ..reality::sample(&seeds.derive("reality-dev")) },
            Domain::Reality2 => reality_2::sample(seeds),
        }
    }

    /// The look with bins of a colour of their own (sRGB), where the domain is one that keeps it: `canonical` and the
    /// stand-ins for reality.
    pub fn with_bin_paint(mut self, paint: Option<[u8; 3]>) -> Self {
        let Some(srgb) = paint else { return self };
        self.bin_paint = paint;
        match self.domain {
            Domain::Canonical => self.surfaces.tray = Material::plain(srgb, 1.0, 0.0),
            Domain::Reality | Domain::RealityDev | Domain::Reality2 => self.surfaces.tray = board(srgb),
            Domain::RandomizedMild | Domain::RandomizedMedium | Domain::RandomizedHeavy => {}
        }
        self
    }

    /// How a surface looks in the canonical picture beside this look's.
    pub fn canonical_colour(&self, surface: Surface) -> CanonicalColour {
        match (surface, self.bin_paint) {
            (Surface::Tray, Some(srgb)) => CanonicalColour::Lit(srgb_to_linear(srgb)),
            _ => canonical_colour(surface),
        }
    }

    /// Whether objects of users' files keep their own colours: in `canonical` and the stand-ins for reality.
    pub fn keeps_paint(&self) -> bool {
        self.domain == Domain::Canonical || self.domain.stands_for_reality()
    }

    /// The look with objects in their files' own colours (sRGB, in the order of the episode), where the domain is one
    /// that keeps them: `canonical` and the stand-ins for reality. `None` leaves the domain's choice.
    pub fn with_paint(mut self, paint: impl IntoIterator<Item = Option<[u8; 3]>>) -> Self {
        if self.keeps_paint() {
            for (material, paint) in self.surfaces.objects.iter_mut().zip(paint) {
                if let Some(color) = paint.map(srgb_to_linear) {
                    *material = Material { colour_a: color, colour_b: color, image: None, ..*material };
                }
            }
        }
        self
    }
}

/// A painted or laminated board, a little uneven.
fn board(srgb: [u8; 3]) -> Material {
    Material::plain(srgb, 0.5, 0.0).with_grain(35.0, 0.05)
}

/// How a surface looks in the canonical picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CanonicalColour {
    /// Linear albedo, lit by the canonical light.
    Lit(Vec3),
    /// Linear colour, not lit (the far background).
    Flat(Vec3),
    /// The source domain's texture under the canonical light (objects).
    Source,
}

/// RCAN's choice: uniform colours for background, tray and arm, each link its own; objects keep their textures.
pub fn canonical_colour(surface: Surface) -> CanonicalColour {
    const LINKS: [[u8; 3]; 8] = [
        [110, 110, 118],
        [214, 96, 77],
        [244, 165, 60],
        [230, 215, 90],
        [120, 190, 110],
        [72, 168, 190],
        [84, 118, 200],
        [140, 98, 180],
    ];
    let lit = |srgb| CanonicalColour::Lit(srgb_to_linear(srgb));
    match surface {
        Surface::Floor => lit([176, 182, 190]),
        Surface::Backdrop => CanonicalColour::Flat(srgb_to_linear([198, 204, 212])),
        Surface::Tray => lit([92, 104, 122]),
        Surface::Divider => lit([222, 176, 110]),
        Surface::ArmLink(i) => lit(LINKS[usize::from(i) % 8]),
        Surface::Gripper => lit([70, 72, 78]),
        Surface::Finger => lit([226, 92, 140]),
        Surface::Cable => lit([60, 60, 64]),
        Surface::Object(_) => CanonicalColour::Source,
    }
}

fn canonical(seeds: &LookSeeds) -> Look {
    let fixed = |surface| match canonical_colour(surface) {
        CanonicalColour::Lit(c) | CanonicalColour::Flat(c) => {
            Material { colour_a: c, colour_b: c, ..Material::plain([0; 3], 1.0, 0.0) }
        }
        CanonicalColour::Source => Material::plain([200; 3], 1.0, 0.0),
    };
    let mut rng = seeds.objects.rng();
    Look {
        domain: Domain::Canonical,
        surfaces: Surfaces {
            floor: fixed(Surface::Floor),
            backdrop: fixed(Surface::Backdrop),
            tray: fixed(Surface::Tray),
            divider: fixed(Surface::Divider),
            arm: std::array::from_fn(|i| fixed(Surface::ArmLink(i as u8))),
            gripper: fixed(Surface::Gripper),
            finger: fixed(Surface::Finger),
            cable: fixed(Surface::Cable),
            objects: std::array::from_fn(|_| object_colour(&mut rng)),
        },
        light: Light::CANONICAL,
        jitter: Jitter::NONE,
        effects: CameraEffects::NONE,
        depth_sensor: None,
        cables: false,
        bin_paint: None,
    }
}

/// A single clear colour with a little grain.
fn object_colour(rng: &mut Rng) -> Material {
    let colour = hsv(rng.f32(), rng.range(0.35, 0.95), rng.range(0.35, 1.0));
    Material { colour_a: colour, colour_b: colour, ..Material::plain([0; 3], rng.range(0.4, 0.9), 0.0) }
        .with_grain(60.0, 0.1)
}

fn random_material(rng: &mut Rng, images: usize) -> Material {
    let mut material = texture(rng.below(RANDOMIZED_TEXTURES as usize) as u64);
    // A user's images share the stage with the procedural textures.
    if images > 0 && rng.chance(0.6) {
        material.image = Some(rng.below(images) as u32);
        material.colour_a = Vec3::ONE;
    }
    material
}

fn mild(seeds: &LookSeeds, images: usize, any_background: bool) -> Look {
    let mut look = canonical(seeds);
    look.domain = if any_background { Domain::RandomizedMedium } else { Domain::RandomizedMild };
    let rng = &mut seeds.textures.rng();
    look.surfaces.tray = random_material(rng, images);
    let arm = hsv(rng.f32(), rng.range(0.0, 0.8), rng.range(0.2, 0.95));
    let arm = Material { colour_a: arm, colour_b: arm, ..Material::plain([0; 3], rng.range(0.3, 0.9), 0.0) };
    look.surfaces.arm = [arm; 8];
    look.surfaces.gripper = arm;
    look.surfaces.finger = Material { colour_a: arm.colour_a * 0.6, colour_b: arm.colour_a * 0.6, ..arm };
    look.surfaces.divider = look.surfaces.tray;
    let background = if any_background {
        random_material(rng, images)
    } else {
        texture(Seed(0xB6).derive("background", rng.below(MILD_BACKGROUNDS) as u64).0)
    };
    look.surfaces.floor = background;
    look.surfaces.backdrop = background;
    let rng = &mut seeds.objects.rng();
    look.surfaces.objects = std::array::from_fn(|_| random_material(rng, images));
    let rng = &mut seeds.light.rng();
    look.light = Light { position: light_position(rng, 0.35), ..Light::CANONICAL };
    let brightness = rng.range(0.6, 1.4);
    look.light.colour *= brightness;
    look.light.sky *= brightness;
    look.light.ground *= brightness;
    look
}

fn heavy(seeds: &LookSeeds, images: usize) -> Look {
    let rng = &mut seeds.textures.rng();
    let material = |rng: &mut Rng| random_material(rng, images);
    let surfaces = Surfaces {
        floor: material(rng),
        backdrop: material(rng),
        tray: material(rng),
        divider: material(rng),
        arm: std::array::from_fn(|_| material(rng)),
        gripper: material(rng),
        finger: material(rng),
        cable: material(rng),
        objects: {
            let rng = &mut seeds.objects.rng();
            std::array::from_fn(|_| {
                let mut object = material(rng);
                // Objects are small: the same texture is drawn finer on them.
                object.wave_u *= 2.0;
                object.wave_v *= 2.0;
                object.cloud_frequency *= 1.6;
                object
            })
        },
    };
    let rng = &mut seeds.light.rng();
    let tint = |rng: &mut Rng, strength: f32| {
        Vec3::ONE + Vec3::new(rng.range(-1.0, 1.0), rng.range(-1.0, 1.0), rng.range(-1.0, 1.0)) * strength
    };
    let strength = rng.range(0.35, 1.25);
    let fill = rng.range(0.25, 1.0);
    let light = Light {
        position: light_position(rng, 0.9),
        colour: tint(rng, 0.3) * strength,
        sky: tint(rng, 0.2) * 0.45 * fill,
        ground: tint(rng, 0.2) * 0.28 * fill,
        softness_m: rng.range(0.003, 0.03),
        exposure: rng.range(0.85, 1.25),
    };
    let rng = &mut seeds.jitter.rng();
    let offset = |rng: &mut Rng, metres: f32| {
        Vec3::new(rng.range(-metres, metres), rng.range(-metres, metres), rng.range(-metres, metres))
    };
    let jitter = Jitter {
        arm_offset: offset(rng, 0.006),
        arm_scale: rng.range(0.97, 1.04),
        tray_offset: offset(rng, 0.005) * Vec3::new(1.0, 1.0, 0.0),
        tray_scale: rng.range(1.0, 1.03),
        camera: Pose::IDENTITY,
    };
    let rng = &mut seeds.camera.rng();
    let camera = camera_jitter(rng, 0.004, 0.006);
    Look {
        domain: Domain::RandomizedHeavy,
        surfaces,
        light,
        jitter: Jitter { camera, ..jitter },
        effects: CameraEffects::NONE,
        depth_sensor: None,
        cables: false,
        bin_paint: None,
    }
}

/// A camera mount that is off by up to `metres` and `radians` on every axis.
pub(super) fn camera_jitter(rng: &mut Rng, metres: f32, radians: f32) -> Pose {
    let triple = |rng: &mut Rng, s: f32| Vec3::new(rng.range(-s, s), rng.range(-s, s), rng.range(-s, s));
    let translation = triple(rng, metres);
    let angles = triple(rng, radians);
    Pose::new(translation, Quat::from_euler(glam::EulerRot::XYZ, angles.x, angles.y, angles.z))
}

/// Somewhere above the bin; `spread` is the largest tangent of the angle to the vertical.
fn light_position(rng: &mut Rng, spread: f32) -> Vec3 {
    let angle = rng.range(0.0, std::f32::consts::TAU);
    let lean = spread * rng.f32().sqrt();
    let height = rng.range(0.9, 1.6);
    Vec3::new(angle.cos() * lean * height, angle.sin() * lean * height, height)
}

/// A material of one family, for controls that name it.
pub fn material_of(family: Family, seed: Seed) -> Material {
    of_family(family, &mut seed.rng())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_look_and_axes_are_separate() {
        for domain in Domain::ALL {
            assert_eq!(Look::sample(domain, Seed(5), 0), Look::sample(domain, Seed(5), 0));
        }
        let seeds = LookSeeds::from(Seed(5));
        let rolled = LookSeeds { light: Seed(99), ..seeds };
        let (a, b) =
            (Look::from_axes(Domain::RandomizedHeavy, &seeds, 0), Look::from_axes(Domain::RandomizedHeavy, &rolled, 0));
        assert_eq!((&a.surfaces, a.jitter), (&b.surfaces, b.jitter));
        assert_ne!(a.light, b.light);
    }

    #[test]
    fn canonical_is_the_same_for_every_seed_but_for_the_objects() {
        let (a, b) = (Look::sample(Domain::Canonical, Seed(1), 0), Look::sample(Domain::Canonical, Seed(2), 0));
        assert_eq!(a.light, b.light);
        assert_eq!(
            (a.surfaces.tray, a.surfaces.arm, a.surfaces.floor),
            (b.surfaces.tray, b.surfaces.arm, b.surfaces.floor)
        );
        assert_ne!(a.surfaces.objects, b.surfaces.objects);
    }

    #[test]
    fn files_keep_their_colour_where_the_domain_keeps_colours() {
        for domain in Domain::ALL {
            let plain = Look::sample(domain, Seed(5), 0);
            let painted = plain.clone().with_paint([None, Some([255, 0, 0])]);
            assert_eq!(painted.surfaces.objects[0], plain.surfaces.objects[0]);
            let keeps = domain == Domain::Canonical || domain.stands_for_reality();
            let red =
                painted.surfaces.objects[1].colour_a == Vec3::X && painted.surfaces.objects[1].colour_b == Vec3::X;
            assert_eq!(red, keeps, "{domain}");
            assert_eq!(painted == plain, !keeps, "{domain}");
        }
    }

    #[test]
    fn the_stand_ins_for_reality_share_no_look() {
        let look = |domain| Look::sample(domain, Seed(7), 0);
        let (reality, dev, second) = (look(Domain::Reality), look(Domain::RealityDev), look(Domain::Reality2));
        // The same laboratory on another day: as far from `reality` as one of its own seeds is.
        assert!(dev.surfaces.floor != reality.surfaces.floor && dev.light != reality.light);
        assert_eq!(dev.surfaces.floor.wave_u, reality.surfaces.floor.wave_u);
        assert_eq!(dev.depth_sensor, reality.depth_sensor);
        // Another laboratory: other sensors, lens, table, bin, light and arm, whatever the seeds.
        assert_ne!(second.depth_sensor, reality.depth_sensor);
        for seed in 0..20 {
            let (a, b) = (Look::sample(Domain::Reality, Seed(seed), 0), Look::sample(Domain::Reality2, Seed(seed), 0));
            assert!(a.effects.k1 < 0.0 && b.effects.k1 > 0.0, "a barrel and a pincushion");
            assert!(b.effects.photon_noise > a.effects.photon_noise && b.effects.jpeg_quality < a.effects.jpeg_quality);
            assert!(a.light.position.y < 0.0 && b.light.position.y > 0.0, "light from opposite sides");
            // Wood is warm and steel grey; the worktop is grey and the crate blue.
            let warmth = |material: &Material| material.colour_a.x / material.colour_a.z;
            assert!(warmth(&a.surfaces.floor) > 2.0 && warmth(&b.surfaces.floor) < 1.2);
            assert!(warmth(&a.surfaces.tray) > 0.8 && warmth(&b.surfaces.tray) < 0.3);
            assert!(a.surfaces.arm[1].colour_a.x > 4.0 * b.surfaces.arm[1].colour_a.x, "aluminium and black covers");
        }
    }

    #[test]
    fn mild_has_six_backgrounds() {
        let mut floors: Vec<String> = (0..400)
            .map(|i| {
                let look = Look::sample(Domain::RandomizedMild, Seed(i), 0);
                serde_json::to_string(&look.surfaces.floor).expect("numbers serialize")
            })
            .collect();
        floors.sort();
        floors.dedup();
        assert_eq!(floors.len(), MILD_BACKGROUNDS);
    }

    #[test]
    fn heavy_changes_everything() {
        let (a, b) =
            (Look::sample(Domain::RandomizedHeavy, Seed(1), 0), Look::sample(Domain::RandomizedHeavy, Seed(2), 0));
        assert!(a.surfaces.floor != b.surfaces.floor && a.surfaces.arm[3] != b.surfaces.arm[3]);
        assert!(a.light.position != b.light.position && a.jitter != b.jitter);
    }
}
