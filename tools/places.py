"""Where a reader finds the published course, and can run it in a browser.

Colab and Kaggle open the copies that tools/publish.py stamps; they install bertlib by
themselves. Binder opens the course itself, in the environment that binder/ describes.
"""

BRANCH = "gh-pages"  # where the workflow publishes the book and notebooks/


def places(repository: str, notebook: str) -> dict[str, str]:
    """The address of a notebook at each place.

    Args:
        repository: OWNER/NAME.
        notebook: its path in the course, such as chapters/03_attention.ipynb.
    """
    stamped = f"{repository}/blob/{BRANCH}/notebooks/{notebook.rsplit('/', 1)[-1]}"
    kaggle = "https://www.kaggle.com/kernels/welcome?src=https://github.com"
    return {
        "Colab": f"https://colab.research.google.com/github/{stamped}",
        "Kaggle": f"{kaggle}/{stamped}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={notebook}",
    }


def book_page(repository: str, page: str) -> str:
    """The address of a page of the book, such as chapters/intro.html."""
    owner, name = repository.split("/")
    host = f"{owner}.github.io".lower()
    folder = "" if name.lower() == host else f"{name}/"
    return f"https://{host}/{folder}{page}"
