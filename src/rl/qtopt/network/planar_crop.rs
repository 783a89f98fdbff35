//! Looking at one place of an image: windows of it as they would lie on a table, around a point and turned to an angle.
//!
//! In: images, the camera's [`Projection`], where to look. Out: windows `[n, channels, side, side]` in which a
//! displacement on the plane is the same wherever it lies. No gradient goes back through the place.

use crate::contract::{Camera, Rng};
use crate::nn::ops::{self, Activations, Bilinear, SampleGrid};
use candle_core::{Result, bail};
use glam::{Mat3, Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// What a camera makes of places: from metres (z up) to image coordinates, -1 to 1 from the left (top) edge to the right
/// (bottom) one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Projection {
    /// Rows of a 3x4 matrix for homogeneous coordinates.
    image_from_place: [[f32; 4]; 3],
}

impl Projection {
    /// Seen from far above, so that the image is `width_m` across.
    pub fn from_above(width_m: f32) -> Self {
        let scale = 2.0 / width_m;
        Self { image_from_place: [[scale, 0.0, 0.0, 0.0], [0.0, -scale, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]] }
    }

    /// From the axes of the world at `origin` (world, metres) to a camera's pictures of `size` pixels.
    pub fn seen_by(camera: &Camera, origin: Vec3, size: [u32; 2]) -> Self {
        let from_world = camera.world_from_camera.inverse();
        let [x, y, z] = [Vec3::X, Vec3::Y, Vec3::Z].map(|axis| from_world.rotation * axis);
        let at = from_world.transform_point(origin);
        let i = &camera.intrinsics;
        let row = |axis: usize, focal: f32, centre: f32, size: u32| {
            [x, y, z, at].map(|p| 2.0 / size as f32 * (focal * p[axis] + centre * p.z) - p.z)
        };
        let image_from_place = [row(0, i.fx, i.cx, size[0]), row(1, i.fy, i.cy, size[1]), [x.z, y.z, z.z, at.z]];
        Self { image_from_place }
    }

    /// The horizontal plane at a height, metres.
    pub fn plane(&self, height_m: f32) -> Plane {
        let column = |index: usize| Vec3::from_array(self.image_from_place.map(|row| row[index]));
        let image_from_plane = Mat3::from_cols(column(0), column(1), column(2) * height_m + column(3));
        Plane { image_from_plane, plane_from_image: image_from_plane.inverse() }
    }

    /// Whether there is a way back from the image to the floor.
    pub fn is_valid(&self) -> bool {
        let floor = self.plane(0.0).image_from_plane;
        floor.is_finite() && floor.determinant().abs() > 1e-9
    }
}

/// A horizontal plane in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    image_from_plane: Mat3,
    plane_from_image: Mat3,
}

impl Plane {
    /// Where a point of the plane is in the image.
    pub fn image(&self, place: Vec2) -> Vec2 {
        divided(self.image_from_plane, place)
    }

    /// The point of the plane that is seen there.
    pub fn place(&self, image: Vec2) -> Vec2 {
        divided(self.plane_from_image, image)
    }
}

fn divided(matrix: Mat3, at: Vec2) -> Vec2 {
    let p = matrix * at.extend(1.0);
    p.truncate() / p.z
}

/// The height of the plane on which places in an image are told, metres: where most of an object's surface lies.
pub const REFERENCE_HEIGHT_M: f32 = 0.04;

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropPose {
    /// In image coordinates: a place on the plane at [`REFERENCE_HEIGHT_M`].
    pub at: Vec2,
    /// The angle that lies along the rows of a turned window.
    pub yaw_rad: f32,
    /// Of the hand above that place, metres.
    pub height_m: f32,
}

impl CropPose {
    /// Of `[u, v, sin, cos]` of twice the angle (half a turn is the same to a parallel jaw).
    pub fn new([u, v, sin, cos]: [f32; 4], height_m: f32) -> Self {
        let inside = |x: f32| if x.is_finite() { x.clamp(-1.0, 1.0) } else { 0.0 };
        let yaw_rad = 0.5 * sin.atan2(cos);
        Self { at: Vec2::new(inside(u), inside(v)), yaw_rad: if yaw_rad.is_finite() { yaw_rad } else { 0.0 }, height_m }
    }

    /// Moved a little, so that nothing depends on pixels.
    pub fn moved(self, rng: &mut Rng, std: f32, std_rad: f32) -> Self {
        let at = self.at + std * Vec2::new(rng.normal(), rng.normal());
        Self { at, yaw_rad: self.yaw_rad + std_rad * rng.normal(), ..self }
    }

    /// On the bin's centre, whatever the hand does.
    pub fn centre(projection: &Projection) -> Self {
        Self { at: projection.plane(REFERENCE_HEIGHT_M).image(Vec2::ZERO), yaw_rad: 0.0, height_m: REFERENCE_HEIGHT_M }
    }

    /// The place that it is on, from the bin's centre, metres.
    pub fn place(&self, projection: &Projection) -> Vec2 {
        projection.plane(REFERENCE_HEIGHT_M).place(self.at)
    }
}

/// The size of windows.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Cells along an edge.
    pub side: usize,
    /// Edge of a cell on the plane, metres.
    pub cell_m: f32,
    /// Pixels along the edge of a cell: they become its channels.
    pub per_cell: usize,
    /// Turned with the gaze, or with the plane's axes.
    pub turned: bool,
    /// On the plane of the hand itself, or on the one at [`REFERENCE_HEIGHT_M`].
    pub at_hand: bool,
}

impl Window {
    /// Where its pixels lie in the image: the first one of all cells, row by row, then the next one of all cells.
    fn places(self, projection: &Projection, crop_pose: &CropPose) -> impl Iterator<Item = Vec2> + use<> {
        let told_at = projection.plane(REFERENCE_HEIGHT_M);
        let centre = told_at.place(crop_pose.at);
        let plane = if self.at_hand { projection.plane(crop_pose.height_m) } else { told_at };
        let (sin, cos) = if self.turned { crop_pose.yaw_rad.sin_cos() } else { (0.0, 1.0) };
        let Self { side, per_cell, .. } = self;
        let (pixel_m, middle) = (self.cell_m / per_cell as f32, 0.5 * ((side * per_cell) as f32 - 1.0));
        let offset = move |cell: usize, part: usize| ((cell * per_cell + part) as f32 - middle) * pixel_m;
        let parts = (0..per_cell * per_cell).flat_map(move |part| (0..side * side).map(move |cell| (part, cell)));
        parts.map(move |(part, cell)| {
            let (x, y) = (offset(cell % side, part % per_cell), offset(cell / side, part / per_cell));
            plane.image(centre + Vec2::new(cos * x - sin * y, sin * x + cos * y))
        })
    }
}

/// Windows `[n, channels * per_cell^2, side, side]` of `images` `[n, channels, h, w]`, one a pose, bilinear, the images' edges
/// repeated (inverse perspective mapping). Differentiable in the images; the poses are constants. `moved` says by how much
/// each image lies aside of what the projection says, in image coordinates; nothing for images as the camera makes them.
///
/// # Errors
/// Not as many images as poses, or as displacements where there are any.
pub fn planar_crop(
    images: &Activations,
    (projection, moved): (&Projection, &[Vec2]),
    crop_poses: &[CropPose],
    window: Window,
) -> Result<Activations> {
    let [n, channels, h, w] = images.dims4()?;
    if n != crop_poses.len() || !(moved.is_empty() || moved.len() == n) {
        bail!("{n} images, {} crop poses and {} displacements", crop_poses.len(), moved.len())
    }
    let parts = window.per_cell * window.per_cell;
    let samples = parts * window.side * window.side;
    let pixel = |at: f32, count: usize| 0.5 * (at + 1.0) * count as f32 - 0.5;
    let pixels = |image: usize| {
        let by = moved.get(image).copied().unwrap_or(Vec2::ZERO);
        let places = window.places(projection, &crop_poses[image]);
        places.map(move |at| [pixel(at.x + by.x, w), pixel(at.y + by.y, h)])
    };
    // Where all crops have one pose, its places are found once.
    let same = |pair: &[CropPose]| pair[0] == pair[1];
    let grid = if n > 0 && crop_poses.windows(2).all(same) && moved.windows(2).all(|pair| pair[0] == pair[1]) {
        SampleGrid::shared([w, h], Bilinear::Separable, pixels(0))
    } else {
        SampleGrid::per_image(n, samples, [w, h], Bilinear::Separable, pixels)
    };
    let sampled = ops::grid_sample(images, 0..channels, &grid)?;
    ops::reshape(&sampled, &[n, channels * parts, window.side, window.side])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Intrinsics;
    use candle_core::{Device, Tensor};

    #[test]
    fn a_plane_is_where_the_camera_sees_it() {
        let intrinsics = Intrinsics::from_vertical_fov(90, 72, 0.6).cropped(13, 4, 64, 64);
        let camera = Camera::look_at(Vec3::new(0.2, -0.5, 0.75), Vec3::new(0.56, 0.0, 0.05), intrinsics);
        let origin = Vec3::new(0.55, 0.0, 0.05);
        let projection = Projection::seen_by(&camera, origin, [64, 64]);
        assert!(projection.is_valid());
        let plane = projection.plane(0.03);
        for place in [Vec2::ZERO, Vec2::new(0.1, -0.07), Vec2::new(-0.12, 0.1)] {
            let pixel = camera.project(origin + place.extend(0.03)).0;
            let image = plane.image(place);
            assert!((image - (pixel / 32.0 - 1.0)).length() < 1e-4, "{image} {pixel}");
            assert!((plane.place(image) - place).length() < 1e-4);
        }
    }

    #[test]
    fn a_window_shows_what_lies_there() -> anyhow::Result<()> {
        // From above, 0.8 m across 8 pixels: a pixel is 0.1 m. The value is 10 * row + column.
        let image: Vec<f32> = (0..64_u8).map(|i| f32::from(10 * (i / 8) + i % 8)).collect();
        let image = Activations::from_tensor(&Tensor::from_vec(image, (1, 1, 8, 8), &Device::Cpu)?)?;
        let projection = Projection::from_above(0.8);
        let see = |u: f32, v: f32, yaw_rad: f32, turned: bool| -> anyhow::Result<Vec<f32>> {
            let crop_pose = CropPose { at: Vec2::new(u, v), yaw_rad, height_m: 0.1 };
            let window = Window { side: 2, cell_m: 0.1, per_cell: 1, turned, at_hand: turned };
            Ok(planar_crop(&image, (&projection, &[]), &[crop_pose], window)?.to_tensor()?.flatten_all()?.to_vec1()?)
        };
        let near = |a: &[f32], b: [f32; 4]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
        // The plane's y points up in the image: a window's first row is the lower one.
        near(&see(0.0, 0.0, 1.0, false)?, [43.0, 44.0, 33.0, 34.0]);
        near(&see(0.25, 0.0, 0.0, true)?, [44.0, 45.0, 34.0, 35.0]);
        // A quarter turn to the left: along the row is up in the image.
        near(&see(0.0, 0.0, std::f32::consts::FRAC_PI_2, true)?, [44.0, 34.0, 43.0, 33.0]);
        // Half a pixel aside, and over the edge.
        near(&see(0.125, 0.0, 0.0, true)?, [43.5, 44.5, 33.5, 34.5]);
        near(&see(-1.0, -1.0, 0.0, true)?, [0.0; 4]);
        let window = Window { side: 1, cell_m: 0.2, per_cell: 2, turned: false, at_hand: false };
        assert!(planar_crop(&image, (&projection, &[]), &[], window).is_err());
        // The same four pixels as channels of one cell.
        let crop_pose = CropPose { at: Vec2::ZERO, yaw_rad: 1.0, height_m: 0.1 };
        let cell = planar_crop(&image, (&projection, &[]), &[crop_pose], window)?.to_tensor()?;
        assert_eq!(cell.dims(), [1, 4, 1, 1]);
        near(&cell.flatten_all()?.to_vec1()?, [43.0, 44.0, 33.0, 34.0]);
        // An image that lies two pixels to the right and one up: what was there is found there.
        let moved = Vec2::new(0.5, -0.25);
        let cell = planar_crop(&image, (&projection, &[moved]), &[crop_pose], window)?.to_tensor()?;
        near(&cell.flatten_all()?.to_vec1()?, [35.0, 36.0, 25.0, 26.0]);
        assert!(planar_crop(&image, (&projection, &[moved; 2]), &[crop_pose], window).is_err());
        Ok(())
    }
}
