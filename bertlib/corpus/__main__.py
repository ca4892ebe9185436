"""Fetch everything that the chapters read, now: python -m bertlib.corpus"""

from bertlib.corpus import load_reviews, minilm_folder

if __name__ == "__main__":
    print(f"{len(load_reviews())} film reviews and plots")
    print(f"MiniLM-L6 in {minilm_folder()}")
