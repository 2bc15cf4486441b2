//! Entry points of the fuzz targets: bytes that nobody has checked.
