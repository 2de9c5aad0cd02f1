"""Lightning modules: the shell that ties codes, maps and measures together."""

from lightning_modules.code_som import CodeSOM

__all__ = ["CodeSOM"]
