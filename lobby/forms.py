from __future__ import annotations

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User


class SignUpForm(UserCreationForm):
    """A new account: Django's own form, and a name to be called by."""

    first_name = forms.CharField(
        label="Display name",
        max_length=150,
        required=False,
        help_text="Optional. What the others see beside your user name.",
    )

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "first_name")
