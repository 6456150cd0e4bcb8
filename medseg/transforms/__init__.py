"""From volumes to what a model sees and back: MONAI's transforms, and those it lacks.

`pipeline.preprocess` is the one call before inference and `pipeline.preprocessing` the
`Compose` of a card; `bridge` leads to and from MONAI's `MetaTensor`; `labels` moves label maps.
Nothing is imported here: `grids` costs neither torch nor MONAI.
"""
