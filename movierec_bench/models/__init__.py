"""Our RecBole model subclasses, one file each; `catalog` finds them through their YAML."""
