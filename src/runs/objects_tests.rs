//! Names of sets and folders of objects.

use super::*;

#[test]
fn sets_by_name_and_mixed() {
    let names = |text: &str| -> Vec<String> {
        let objects = load_objects(text, ImportOptions::default()).expect(text);
        objects.iter().map(|object| object.name.clone()).collect()
    };
    assert_eq!((names("household").len(), names("ycb").len(), names("test").len()), (51, 10, 100));
    assert_eq!(names("spring-jointed")[..2], ["fish_fillet", "sausage"]);
    assert_eq!(names("spring-jointed-rigid")[..2], ["fish_fillet_rigid", "sausage_rigid"]);
    let mixed = names("ycb, household:3,test");
    assert_eq!(mixed.len(), 161);
    assert_eq!((mixed[0].as_str(), mixed[10].as_str()), ("004_sugar_box", "bottle-01"));
    let volumes = |text: &str| -> f32 {
        let objects = load_objects(text, ImportOptions::default()).expect(text);
        objects.iter().map(|object| object.volume_m3).sum()
    };
    assert!(volumes("household:1") != volumes("household:2") && volumes("household-solid") > volumes("household"));
}

#[test]
fn methods_are_tuned_on_training_objects() {
    let cell = CellDescription::default();
    assert_eq!(measured_objects(None, Some(Domain::RealityDev), &cell), "train");
    assert_eq!(measured_objects(None, Some(Domain::Reality2), &cell), "test");
    assert_eq!(measured_objects(Some("ycb"), Some(Domain::RealityDev), &cell), "ycb");
    let count = |domain, names| objects_in(domain, names, ImportOptions::default()).map(|objects| objects.len());
    assert_eq!(count(Domain::Reality, "test").expect("known"), 100);
    assert!(count(Domain::RealityDev, "train").is_ok_and(|count| count > 100));
    for names in ["test", "ycb, all"] {
        let error = count(Domain::RealityDev, names).expect_err("refused");
        assert!(error.downcast_ref::<UsageError>().is_some() && error.to_string().contains("reality-dev"));
    }
}

#[test]
fn a_wrong_name_is_named_with_the_cure() {
    for (wrong, part) in
        [("houshold", "houshold"), ("train,", "''"), ("household:x", "'x'"), ("ycb,nowhere", "nowhere")]
    {
        let error = load_objects(wrong, ImportOptions::default()).expect_err(wrong);
        assert!(error.downcast_ref::<UsageError>().is_some(), "{wrong}: wrong usage");
        let message = error.to_string();
        assert!(message.contains(part) && message.contains("household"), "{wrong}: {message}");
    }
}

#[test]
fn a_built_in_name_is_no_folder() {
    for name in ["train", "test", "all", "ycb", "household", "household:7", "household-solid:x", "spring-jointed-rigid"]
    {
        assert!(names_a_set(name) && named_set(name).is_some(), "{name}");
    }
    for name in ["./test", "test/", "household-mine", "Test", "train,test", ""] {
        assert!(!names_a_set(name) && named_set(name).is_none(), "{name}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().join("test").display().to_string();
    std::fs::create_dir(&named).expect("a folder");
    assert_eq!((folder_of(&named), folder_of("test"), folder_of("")), (Some(Path::new(&named)), None, None));
}
