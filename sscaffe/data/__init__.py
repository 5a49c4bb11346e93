"""Where the data of a net comes from: databases, transformations, reading ahead."""
