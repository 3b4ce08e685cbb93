"""Adds the site's configs to the search path of simplexity's programs, and of no others."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class SiteConfigs(SearchPathPlugin):
    """The packaged configs come first on the search path, so they win where names are equal."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra before it composes anything.

        Raises:
            ConfigError: If the environment names a folder that does not exist.
        """
        from simplexity.composition import CONFIG_MODULE, site_folder

        is_ours = any(element.path == f"pkg://{CONFIG_MODULE}" for element in search_path.get_path())
        # Most sites have none.
        if is_ours and (folder := site_folder()).is_dir():
            search_path.append("site", f"file://{folder}")
