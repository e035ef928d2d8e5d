"""The page of pictures of a data set: `numbers` counts, `pictures` draws what was counted, `page` writes both."""
