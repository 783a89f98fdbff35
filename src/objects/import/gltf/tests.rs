use super::*;

#[test]
fn up_and_back() {
    let point = Vec3::new(1.0, 2.0, 3.0);
    assert_eq!(z_up(y_up(point)), point);
    assert_eq!(z_up(Vec3::Y), Vec3::Z);
}

#[test]
fn strips_and_fans_by_the_specification() {
    // 3.7.2.1: p_i = {v_i, v_(i + 1 + i mod 2), v_(i + 2 - i mod 2)} and p_i = {v_(i+1), v_(i+2), v_0}.
    assert_eq!(triangles(&[7, 8, 9, 10, 11], STRIP), [[7, 8, 9], [8, 10, 9], [9, 10, 11]]);
    assert_eq!(triangles(&[7, 8, 9, 10], FAN), [[8, 9, 7], [9, 10, 7]]);
    assert_eq!(triangles(&[1, 2, 3, 3, 3, 4], TRIANGLES), [[1, 2, 3]]);
}
