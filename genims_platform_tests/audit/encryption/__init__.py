"""Keys of persons and the cipher."""
