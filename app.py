"""`python app.py` runs the demo; `gunicorn 'app:create_app()'` serves."""

from personalization import create_app

__all__ = ["create_app"]

if __name__ == "__main__":
    from personalization.cli import main

    main(["demo"])
