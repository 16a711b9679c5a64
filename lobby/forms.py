from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User


class SignUpForm(UserCreationForm):
    """A new account: Django's own form, and a name to be called by."""

    first_name = forms.CharField(
        label="Display name",
        max_length=150,
        required=False,
        help_text="Optional. What the others see beside your username.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "first_name")
        help_texts = {"username": "Letters, digits and @ . + - _ only, 150 at most."}

    def validate_password_for_user(self, user: Any, password_field_name: str = "password1") -> None:
        # A bad password is told beside the password: Django tells it beside the confirmation.
        super().validate_password_for_user(user, password_field_name)  # type: ignore[misc]  # not in the stubs
