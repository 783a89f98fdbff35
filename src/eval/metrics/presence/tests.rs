use super::*;

const W: usize = 32;
const TRAY: [u8; 3] = [190, 192, 198];

/// Tray everywhere; object 10 (red) at 4..10 squared, object 11 (blue) at 20..25 squared, object 12 like the tray at
/// 4..10 by 20..26.
fn truth() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut canonical = TRAY.repeat(W * W);
    let (mut segmentation, mut instances) = (vec![Class::Tray as u8; W * W], vec![1; W * W]);
    let objects = [(4..10, 4..10, 10, [220, 40, 30]), (20..25, 20..25, 11, [30, 60, 200]), (4..10, 20..26, 12, TRAY)];
    for (xs, ys, instance, colour) in objects {
        for y in ys {
            for x in xs.clone() {
                let i = y * W + x;
                (segmentation[i], instances[i]) = (Class::Object as u8, instance);
                canonical[3 * i..3 * i + 3].copy_from_slice(&colour);
            }
        }
    }
    (canonical, segmentation, instances)
}

fn paint(image: &mut [u8], (x0, y0): (usize, usize), side: usize, colour: [u8; 3]) {
    for i in 0..side * side {
        let at = (y0 + i / side) * W + x0 + i % side;
        image[3 * at..3 * at + 3].copy_from_slice(&colour);
    }
}

fn by_image(change: impl Fn(&mut Vec<u8>)) -> Presence {
    let (canonical, segmentation, instances) = truth();
    let frame =
        TruthFrame { width: W, height: W, canonical: &canonical, segmentation: &segmentation, instances: &instances };
    let mut translated = canonical.clone();
    change(&mut translated);
    Presence::by_image(&frame, &translated, &PresenceSettings::for_size(W, W)).unwrap()
}

#[test]
fn a_faithful_image_loses_nothing() {
    // The object that looks like the tray cannot be judged.
    let expected = Presence { objects: 2, images: 1, ..Presence::default() };
    assert_eq!(by_image(|_| {}), expected);
    // Neither a colour bias nor noise nor a wrong colour makes an object vanish.
    assert_eq!(by_image(|t| t.iter_mut().for_each(|v| *v = v.saturating_sub(45))), expected);
    let mut rng = crate::contract::Seed(3).rng();
    let noise: Vec<u8> = (0..W * W * 3).map(|_| rng.below(20) as u8).collect();
    assert_eq!(by_image(|t| t.iter_mut().zip(&noise).for_each(|(v, n)| *v = v.saturating_add(*n))), expected);
    assert_eq!(by_image(|t| paint(t, (4, 4), 6, [30, 160, 40])), expected);
}

#[test]
fn an_object_painted_over_has_vanished() {
    let gone = by_image(|t| paint(t, (4, 4), 6, TRAY));
    assert_eq!((gone.objects, gone.vanished, gone.ghosts), (2, 1, 0));
    // Also when the whole image is darker.
    let gone = by_image(|t| {
        paint(t, (20, 20), 5, TRAY);
        t.iter_mut().for_each(|v| *v -= 25);
    });
    assert_eq!(gone.vanished, 1);
    // Three quarters transparent: closer to the tray than to the object.
    let mix = |a: u8, b: u8| ((3 * u16::from(a) + u16::from(b)) / 4) as u8;
    let faint = [mix(TRAY[0], 220), mix(TRAY[1], 40), mix(TRAY[2], 30)];
    assert_eq!(by_image(|t| paint(t, (4, 4), 6, faint)).vanished, 1);
    assert!((gone.vanish_rate().value - 0.5).abs() < 1e-12);
}

#[test]
fn a_blot_on_the_tray_is_a_ghost() {
    let ghost = by_image(|t| paint(t, (14, 10), 5, [220, 120, 30]));
    assert_eq!((ghost.vanished, ghost.ghosts, ghost.images_with_ghost), (0, 1, 1));
    let two = by_image(|t| {
        paint(t, (14, 10), 5, [220, 120, 30]);
        paint(t, (14, 24), 4, [20, 20, 30]);
    });
    assert_eq!((two.ghosts, two.images_with_ghost), (2, 1));
    // Too small, too faint, or only a fringe of an object.
    assert_eq!(by_image(|t| paint(t, (14, 10), 2, [220, 120, 30])).ghosts, 0);
    assert_eq!(by_image(|t| paint(t, (14, 10), 5, [175, 180, 190])).ghosts, 0);
    assert_eq!(by_image(|t| paint(t, (3, 3), 8, [220, 40, 30])).ghosts, 0);
}

#[test]
fn masks_by_hand() {
    let (canonical, segmentation, instances) = truth();
    let frame =
        TruthFrame { width: W, height: W, canonical: &canonical, segmentation: &segmentation, instances: &instances };
    let settings = PresenceSettings::for_size(W, W);
    let perfect = Presence::by_mask(&frame, &segmentation, &settings).unwrap();
    assert_eq!(perfect, Presence { objects: 3, images: 1, ..Presence::default() });

    let (object, tray) = (Class::Object as u8, Class::Tray as u8);
    let mut prediction = segmentation.clone();
    // Of the 36 pixels of object 10, 9 are left: just a quarter, not vanished. One less and it has.
    let of_ten: Vec<usize> = (0..W * W).filter(|&i| instances[i] == 10).collect();
    of_ten[9..].iter().for_each(|&i| prediction[i] = tray);
    assert_eq!(Presence::by_mask(&frame, &prediction, &settings).unwrap().vanished, 0);
    prediction[of_ten[8]] = tray;
    let found = Presence::by_mask(&frame, &prediction, &settings).unwrap();
    assert_eq!((found.objects, found.vanished, found.ghosts), (3, 1, 0));

    // A region of 3 x 4 pixels on the tray is a ghost, a diagonal line of 9 too, one of 7 pixels is not.
    let mut prediction = segmentation.clone();
    (0..12).for_each(|i| prediction[(12 + i / 4) * W + 14 + i % 4] = object);
    (0..9).for_each(|i| prediction[(20 + i) * W + 6 + i] = object);
    let found = Presence::by_mask(&frame, &prediction, &settings).unwrap();
    // The diagonal touches object 12 and belongs to its region, which is real.
    assert_eq!(found.ghosts, 1);
    let mut prediction = segmentation.clone();
    (0..9).for_each(|i| prediction[(12 + i) * W + 14 + i] = object);
    let line = Presence::by_mask(&frame, &prediction, &settings).unwrap();
    assert_eq!(line.ghosts, 0, "it runs into object 11");
    let mut prediction = vec![tray; W * W];
    (0..7).for_each(|i| prediction[30 * W + i] = object);
    assert_eq!(Presence::by_mask(&frame, &prediction, &settings).unwrap().ghosts, 0);
    prediction[30 * W + 7] = object;
    let found = Presence::by_mask(&frame, &prediction, &settings).unwrap();
    assert_eq!((found.vanished, found.ghosts), (3, 1));
    assert_eq!(Presence::by_mask(&frame, &prediction[1..], &settings), None);
}

#[test]
fn counts_add_up() {
    let mut sum = Presence::default();
    for (vanished, ghosts) in [(1, 0), (0, 3), (0, 0), (2, 1)] {
        let images_with_ghost = u64::from(ghosts > 0);
        sum.merge(&Presence { objects: 5, vanished, images: 1, images_with_ghost, ghosts });
    }
    assert_eq!((sum.objects, sum.ghosts), (20, 4));
    assert!((sum.vanish_rate().value - 0.15).abs() < 1e-12);
    assert!((sum.ghost_rate().value - 0.5).abs() < 1e-12);
}

#[test]
fn what_was_lost_and_what_was_invented_is_where_it_is() {
    let (canonical, segmentation, instances) = truth();
    let frame =
        TruthFrame { width: W, height: W, canonical: &canonical, segmentation: &segmentation, instances: &instances };
    let mut translated = canonical.clone();
    paint(&mut translated, (4, 4), 6, TRAY);
    paint(&mut translated, (16, 4), 5, [10, 10, 10]);
    let settings = PresenceSettings::for_size(W, W);
    let (counts, faults) = Presence::with_faults(&frame, &translated, &settings).unwrap();
    assert_eq!((counts.vanished, counts.ghosts), (1, 1));
    let [lost, ghost] = faults[..] else { panic!("{faults:?}") };
    assert!(!lost.is_ghost && ghost.is_ghost);
    assert_eq!((lost.centre, ghost.centre), ([7.0, 7.0], [18.5, 6.5]));
    // From the middle of a square of 6 pixels to the middle of its corner's pixel.
    assert!((lost.radius - 2.5 * 2.0_f32.sqrt()).abs() < 1e-5, "{}", lost.radius);
    assert!(Presence::with_faults(&frame, &canonical, &settings).unwrap().1.is_empty());
    assert_eq!(Presence::with_faults(&frame, &[0; 3], &settings), None);
}
